//! What only one tenant may have, and keys.

use super::support::{KEY, Setup, id, tenant};
use crate::config::CallbackEvent;

fn two(first: &str, second: &str) -> String {
    tenant(1, "A", first) + &tenant(2, "B", second)
}

/// 24 bytes, as Standard Webhooks writes them.
const SIGNING_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn with_callback(lines: &str) -> Setup {
    let mut setup = Setup {
        tenants: tenant(1, "A", &format!("[[tenant.callback]]\n{lines}\n")),
        ..Setup::new()
    };
    setup.variables.push((String::from("SIGN"), String::from(SIGNING_KEY)));
    setup
}

#[test]
fn a_callback_says_where_what_and_signed_with_which_keys() {
    let setup = with_callback(
        "url = \"http://10.1.2.3/x\"\nsecret_env = \"SIGN\"\nsecret_env_old = \"SIGN\"\n\
         events = [\"retrying\"]\naddresses = [\"10.1.2.3\"]\n[[tenant.callback]]\n\
         url = \"*\"\nsecret_env = \"SIGN\"",
    );
    let loaded = setup.load();
    assert_eq!(loaded.problems, []);
    let tenant = loaded.config.tenants.values().next().unwrap();
    let [one, any] = &tenant.callbacks[..] else { panic!() };
    assert_eq!(one.url.as_deref(), Some("http://10.1.2.3/x"));
    assert_eq!((one.secrets.len(), one.addresses.len()), (2, 1));
    assert_eq!(one.events, [CallbackEvent::Retrying].into());
    assert_eq!((&any.url, any.events.len()), (&None, 2));
    let entry = |url, requested| tenant.callback_for(url, requested).map(|entry| &entry.url);
    assert_eq!(entry("http://10.1.2.3/x", true), Some(&one.url));
    assert_eq!(entry("https://b.example", true), Some(&None));
    assert_eq!(entry("https://b.example", false), None);
}

#[test]
fn a_callback_that_would_not_work_is_told() {
    let good = "url = \"https://a.example\"\nsecret_env = \"SIGN\"";
    for (lines, parts) in [
        (good.replace("https", "http"), ["url must begin with https://", "`addresses`"]),
        (good.replace("https://a.example", "a.example"), ["url is no URL", "https://"]),
        (good.replace("SIGN", "TOKEN"), ["the value of TOKEN must be whsec_", "openssl"]),
        (String::from("url = \"*\""), ["has no secret_env", "add for example"]),
        (format!("{good}\nevents = [\"fialed\"]"), ["no event", "did you mean \"failed\"?"]),
        (format!("{good}\n[[tenant.callback]]\n{good}"), ["already", "take one of them out"]),
    ] {
        let problem = with_callback(&lines).problem();
        for part in parts {
            assert!(problem.contains(part), "{problem}\nlacks {part}");
        }
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn what_two_tenants_share_is_told_with_both_names() {
    for (tenants, parts) in [
        (
            two("slug = \"x\"\n", "slug = \"x\"\n"),
            ["tenants.toml:10", "the slug x", "\"A\" (tenants.toml:5)"],
        ),
        (
            two("domains = [\"A.example\"]\n", "domains = [\"a.example\"]\n"),
            ["tenants.toml:10", "the domain a.example", "\"A\" (tenants.toml:5)"],
        ),
        (
            two("ports = [1]\n", "ports = [2, 1]\n"),
            ["tenants.toml:10", "the port 1 ", "\"A\" (tenants.toml:5)"],
        ),
        (
            two("", "").replace(&id(2), &id(1)),
            ["tenants.toml:6", "already belongs to the tenant at tenants.toml:2", "its own"],
        ),
        (
            two("", "").replace("B_KEY", "A_KEY"),
            [
                "tenants.toml:8",
                "of the tenant \"B\" is also the key of the tenant \"A\"",
                "its own",
            ],
        ),
    ] {
        let problem = Setup { tenants, ..Setup::new() }.problem();
        for part in parts {
            assert!(problem.contains(part), "{problem}\nlacks {part}");
        }
        assert!(!problem.contains(KEY), "{problem}");
    }
}

#[test]
fn a_key_of_two_tenants_opens_neither() {
    let mut setup = Setup { tenants: two("", ""), ..Setup::new() };
    setup.variables[1].1 = setup.variables[0].1.clone();
    let loaded = setup.load();
    assert_eq!(loaded.problems.len(), 1);
    assert!(loaded.config.tenants.is_empty());
}

#[test]
fn a_key_must_be_there_and_long_enough_and_fit_into_a_header() {
    for (name, part) in [
        ("NOPE", "the environment variable NOPE is not set"),
        ("EMPTY", "the environment variable EMPTY is empty"),
        ("TOKEN", "the key in TOKEN has 7 characters"),
        ("SPACE", "the key in SPACE has a space"),
    ] {
        let tenants = tenant(1, "A", "").replace("A_KEY", name);
        let mut setup = Setup { tenants, ..Setup::new() };
        setup.variables.push((String::from("SPACE"), format!("{KEY} ")));
        let problem = setup.problem();
        assert!(problem.starts_with("tenants.toml:4: ") && problem.contains(part), "{problem}");
        assert!(setup.load().config.tenants.is_empty());
    }
}

#[test]
fn a_tenant_names_its_key_in_one_way() {
    for tenants in [
        tenant(1, "A", "").replace("auth_key_env = \"A_KEY\"", ""),
        tenant(1, "A", "auth_key_envs = [\"A_KEY\"]\n"),
        tenant(1, "A", "").replace("auth_key_env = \"A_KEY\"", "auth_key_envs = []"),
    ] {
        let problem = Setup { tenants, ..Setup::new() }.problem();
        assert!(problem.starts_with("tenants.toml:1: "), "{problem}");
        assert!(
            problem.contains("TENANT_0198C0DE_0000_7000_8000_000000000001_AUTHKEY"),
            "{problem}"
        );
    }
}

#[test]
fn the_admin_key_is_no_tenants_key() {
    let mut setup = Setup::new();
    setup.variables.push((String::from("CONDUCTOR_ADMIN_KEY"), format!("{KEY}a")));
    let problem = setup.problem();
    assert!(problem.contains("A_KEY and CONDUCTOR_ADMIN_KEY hold the same key"), "{problem}");
}

#[test]
fn while_a_key_is_replaced_both_are_valid() {
    let tenants = tenant(1, "A", "")
        .replace("auth_key_env = \"A_KEY\"", "auth_key_envs = [\"A_KEY\", \"B_KEY\"]");
    let loaded = Setup { tenants, ..Setup::new() }.load();
    assert_eq!(loaded.problems, []);
    let tenant = loaded.config.tenants.values().next().unwrap();
    assert_eq!(tenant.key_hashes.len(), 2);
    assert_eq!(tenant.key_envs.len(), 2);
}

#[test]
fn a_name_must_give_a_slug_or_be_given_one() {
    let tenants = tenant(1, "A", "").replace("\"A\"", "\"株式会社\"");
    let problem = Setup { tenants: tenants.clone(), ..Setup::new() }.problem();
    assert!(problem.starts_with("tenants.toml:3: ") && problem.contains("slug = "), "{problem}");
    let tenants = tenants + "slug = \"kk\"\n";
    assert_eq!(Setup { tenants, ..Setup::new() }.problems(), [] as [String; 0]);
}

#[test]
fn defaults_apply_to_what_a_tenant_does_not_say() {
    let tenants =
        two("cors = []\n[tenant.limits]\nburst = 7\n", "[tenant.access]\nsources = [\"::1\"]\n")
            + "[defaults]\ncors = [\"https://a.example/\"]\naccess.sources = [\"10.0.0.0/8\"]\n\
         [defaults.limits]\nrate = 2.5\nqueue = 9\n[context]\nfallback = \"b\"\n";
    let loaded = Setup { tenants, ..Setup::new() }.load();
    assert_eq!(loaded.problems, []);
    let mut tenants = loaded.config.tenants.values();
    let (first, second) = (tenants.next().unwrap(), tenants.next().unwrap());
    assert_eq!((first.limits.rate_per_s, first.limits.burst), (Some(2.5), 7));
    assert_eq!((second.limits.burst, second.limits.queue_max), (3, 9));
    assert!(first.cors.is_empty());
    assert_eq!(&*second.cors[0], "https://a.example");
    assert_eq!(first.access_sources[0].to_string(), "10.0.0.0/8");
    assert_eq!(second.access_sources[0].to_string(), "::1/128");
    assert_eq!(loaded.config.fallback, Some(second.id));
}
