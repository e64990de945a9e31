//! Every mistake in an entry: where it is told, what was found, how to mend it.

use super::support::{Setup, channel, tenant};

/// Which file a case is about.
enum Of {
    Plugins,
    Tenant,
    Channel,
}

fn problem_of(of: &Of, text: &str) -> String {
    let mut setup = Setup::new();
    match of {
        Of::Plugins => setup.plugins = format!("[[plugin]]\nname = \"p\"\n{text}\n"),
        Of::Tenant => setup.tenants = tenant(1, "A", &format!("{text}\n")),
        Of::Channel => setup.channels = channel("discord", &format!("{text}\n")),
    }
    setup.problem()
}

fn assert_told(of: &Of, cases: &[(&str, &str, &[&str])]) {
    for (text, place, parts) in cases {
        let problem = problem_of(of, text);
        assert!(problem.starts_with(&format!("{place}: ")), "{text}\n{problem}");
        for part in *parts {
            assert!(problem.contains(part), "{text}\n{problem}\nlacks {part}");
        }
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn mistakes_in_a_plugin_are_told() {
    assert_told(
        &Of::Plugins,
        &[
            ("optoins = 1", "plugins.toml:3", &["no key \"optoins\"", "did you mean \"options\"?"]),
            ("zzz = 1", "plugins.toml:3", &["no key \"zzz\"", "known: name, enabled"]),
            ("lazy = 1", "plugins.toml:3", &["lazy must be true or false", "found a whole number"]),
            ("scope = \"cor\"", "plugins.toml:3", &["\"cor\"", "did you mean \"core\"?"]),
            ("source = \"no.wasm\"", "plugins.toml:3", &["there is no file", "builtin"]),
            ("digest = \"md5:1\"", "plugins.toml:3", &["sha256:", "64 hexadecimal digits"]),
            (
                "requires = [\"q >=1\"]",
                "plugins.toml:3",
                &["no plugin \"q\"", "did you mean \"p\"?"],
            ),
            ("requires = [\"p\"]", "plugins.toml:3", &["requires itself"]),
            ("requires = [\"p one\"]", "plugins.toml:3", &["\"other >=1.2\""]),
            ("options = 1", "plugins.toml:3", &["options must be a table"]),
            ("[plugin.options]\na = \"${NOPE}\"", "plugins.toml:4", &["NOPE", "${NOPE:-default}"]),
            ("[plugin.options]\na = \"${NOPE\"", "plugins.toml:4", &["has no \"}\"", "$${"]),
            ("[plugin.options]\na = [1, nan]", "plugins.toml:4", &["JSON has no such number"]),
            ("[plugin.grants]\nhost = []", "plugins.toml:4", &["did you mean \"hosts\"?"]),
            ("[plugin.grants]\nhosts = \"x\"", "plugins.toml:4", &["a list of texts"]),
            ("[plugin.grants]\nhosts = [\n1]", "plugins.toml:5", &["put it into quotes"]),
            (
                "[plugin.grants]\nhosts = [\n\"https://a\",\n\"discord.com\"]",
                "plugins.toml:6",
                &["\"discord.com\" is not an origin", "write for example"],
            ),
            ("[plugin.grants]\naddresses = [\"x\"]", "plugins.toml:4", &["\"10.0.0.0/8\""]),
            ("[plugin.grants]\nhosts = [\"${TOKEN}\"]", "plugins.toml:4", &["${TOKEN}", "set the"]),
            ("[plugin.grants]\nreveal = [\"a b\"]", "plugins.toml:4", &["BOT_TOKEN"]),
            ("[plugin.grants.secrets]\nT = 1", "plugins.toml:4", &["T must be a list of texts"]),
            ("[plugin.grants.secrets]\nT = [\"x\"]", "plugins.toml:4", &["is not an origin"]),
            ("[plugin.limits]\nwall_ms = 5", "plugins.toml:4", &["wall_ms = 5", "100 to 120000"]),
            ("[plugin.limits]\nmemory_mib = 513", "plugins.toml:4", &["from 1 to 512"]),
            ("[plugin.limits]\ncpu_ms = -1", "plugins.toml:4", &["from 10 to 60000"]),
            ("[plugin.limits]\ninstances_max = 0", "plugins.toml:4", &["from 1 to 2000"]),
            ("[plugin.limits]\nin_flight_max = 1025", "plugins.toml:4", &["from 1 to 1024"]),
            ("[plugin.limits]\negress_max = 1e3", "plugins.toml:4", &["must be a whole number"]),
            ("[plugin.limits]\nwal_ms = 5", "plugins.toml:4", &["did you mean \"wall_ms\"?"]),
            ("[[plugin]]\nname = \"p\"", "plugins.toml:4", &["already at plugins.toml:2"]),
            ("[[plugin]]\nenabled = true", "plugins.toml:3", &["add for example name ="]),
            ("[[plugin]]\nname = \"P!\"", "plugins.toml:4", &["\"P!\" is not a name"]),
            ("[[plugni]]", "plugins.toml:3", &["did you mean \"plugin\"?"]),
        ],
    );
}

#[test]
fn mistakes_in_a_tenant_are_told() {
    assert_told(
        &Of::Tenant,
        &[
            ("domian = []", "tenants.toml:5", &["did you mean \"domains\"?"]),
            ("slug = \"A b\"", "tenants.toml:5", &["\"A b\" is not a slug", "\"a-b\""]),
            ("domains = [\"https://x\"]", "tenants.toml:5", &["is not a domain", "only the name"]),
            ("domains = [\"x:443\"]", "tenants.toml:5", &["is not a domain", "`ports`"]),
            ("ports = [1,\n70000]", "tenants.toml:6", &["from 1 to 65535"]),
            ("plugins = [\"adit\"]", "tenants.toml:5", &["no plugin \"adit\"", "\"audit\""]),
            (
                "cors = [\"app.example.com\"]",
                "tenants.toml:5",
                &["is not an origin", "https://app"],
            ),
            ("cors = [\"https://a/b\"]", "tenants.toml:5", &["is not an origin"]),
            ("[tenant.options.discrd]", "tenants.toml:5", &["did you mean \"discord\"?"]),
            ("[tenant.options]\ndiscord = 1", "tenants.toml:6", &["must be a table"]),
            ("[tenant.limits]\nrate = 0", "tenants.toml:6", &["from 0.01 to 1000000"]),
            ("[tenant.limits]\nburst = 0", "tenants.toml:6", &["from 1 to 1000000"]),
            ("[tenant.limits]\nqueue = 0", "tenants.toml:6", &["from 1 to 10000000"]),
            ("[tenant.access]\nsources = [\"x\"]", "tenants.toml:6", &["\"x\" is not a range"]),
            ("[defaults]\nqueue = 1", "tenants.toml:6", &["no key \"queue\"", "limits"]),
            ("[defaults.limits]\nrate = nan", "tenants.toml:6", &["from 0.01"]),
            ("[context]\nfallback = \"b\"", "tenants.toml:6", &["slug \"b\"", "\"a\""]),
            ("[contxt]", "tenants.toml:5", &["did you mean \"context\"?"]),
        ],
    );
}

#[test]
fn mistakes_in_a_channel_are_told() {
    assert_told(
        &Of::Channel,
        &[
            ("tpye = 1", "channels.toml:4", &["no key \"tpye\"", "known: tenant_id"]),
            ("name = \"A\"", "channels.toml:4", &["\"A\" is not a name"]),
            ("optional = \"yes\"", "channels.toml:4", &["optional must be true or false"]),
            ("provider_secret_env = \"NOPE\"", "channels.toml:4", &["NOPE is not set", ".env"]),
            ("provider_secret_env = \"EMPTY\"", "channels.toml:4", &["EMPTY is empty"]),
            (
                "provider_secret_env = \"TOKEN\"\n[channel.secrets]",
                "channels.toml:4",
                &["write only one"],
            ),
            ("[channel.secrets]\nBOT = \"NOPE\"", "channels.toml:5", &["BOT: the env", "NOPE"]),
            ("[channel.secrets]\nBOT = 1", "channels.toml:5", &["BOT must be a text"]),
            ("[channel.secrets]\n\"B T\" = \"TOKEN\"", "channels.toml:5", &["name of a secret"]),
            (
                "[channel.secrets]\nBOT = { path = \"x\", env = \"TOKEN\" }",
                "channels.toml:5",
                &["no key \"path\"", "known: env, file, pointer"],
            ),
            ("[channel.secrets]\nBOT = {}", "channels.toml:5", &["{ file = \"path\" }"]),
            (
                "[channel.secrets]\nBOT = { file = \"no\" }",
                "channels.toml:5",
                &["BOT: file", "cannot be read", "correct the path"],
            ),
            ("fallback = [\"lgo\"]", "channels.toml:4", &["no channel \"lgo\"", "log"]),
            ("fallback = [\"discord\"]", "channels.toml:4", &["circle: discord -> discord"]),
            ("[channel.retry]\nattempts = 0", "channels.toml:5", &["from 1 to 100"]),
            ("[channel.retry]\nfactor = 0.5", "channels.toml:5", &["from 1 to 10"]),
            ("[channel.retry]\nspan_ms = 9999999999", "channels.toml:5", &["from 1 to 2592000000"]),
            ("[channel.retry]\nfirst_ms = 9\ncap_ms = 8", "channels.toml:6", &["raise it"]),
            (
                "[channel.retry]\non_unknown = \"ded\"",
                "channels.toml:5",
                &["\"ded\"", "did you mean \"dead\"?"],
            ),
            ("[channel.throttle]\nburst = 2", "channels.toml:4", &["rate_per_s = 30"]),
            ("[channel.throttle]\nrate_per_s = 0", "channels.toml:5", &["from 0.01 to 100000"]),
            (
                "[channel.throttle]\nrate_per_s = 1\nper = \"chanel\"",
                "channels.toml:6",
                &["\"chanel\"", "did you mean \"channel\"?"],
            ),
            ("[[channel]]\nchannel_type = \"log\"", "channels.toml:4", &["has no tenant_id"]),
        ],
    );
}

#[test]
fn a_channel_of_what_is_not_there_is_told() {
    for (channels, parts) in [
        (channel("lg", ""), ["channels.toml:3", "no plugin \"lg\"", "did you mean \"log\"?"]),
        (channel("off", ""), ["channels.toml:3", "disabled at plugins.toml:", "enabled = true"]),
        (
            channel("audit", ""),
            ["channels.toml:3", "`plugins` of the tenant \"A\"", "tenants.toml:1"],
        ),
        (
            channel("log", "").replace("00000001", "00000002"),
            ["channels.toml:2", "there is no tenant 0198c0de", "did you mean 0198c0de"],
        ),
        (
            channel("log", "").replace("0198c0de-", ""),
            ["channels.toml:2", "is not a UUID", "36 characters"],
        ),
        (
            channel("log", "") + &channel("log", ""),
            [
                "channels.toml:6",
                "already has a channel \"log\" at channels.toml:3",
                "another `name`",
            ],
        ),
    ] {
        let problem = Setup { channels, ..Setup::new() }.problem();
        for part in parts {
            assert!(problem.contains(part), "{problem}\nlacks {part}");
        }
    }
}

#[test]
fn a_value_that_was_pasted_where_a_name_belongs_is_not_shown() {
    for pasted in ["a3f1b2c3d4e5f60718293a4b5c6d7e8f", "hunter2 and more", "MTA5.hunter2-x"] {
        let channels = channel("discord", &format!("provider_secret_env = \"{pasted}\"\n"));
        let problem = Setup { channels, ..Setup::new() }.problem();
        assert!(problem.starts_with("channels.toml:4: provider_secret_env"), "{problem}");
        assert!(!problem.contains(pasted), "{problem}");
    }
}

#[test]
fn a_circle_of_fallbacks_is_told_once() {
    let channels = channel("discord", "name = \"a\"\nfallback = [\"b\", \"log\"]\n")
        + &channel("discord", "name = \"b\"\nfallback = [\"c\"]\n")
        + &channel("discord", "name = \"c\"\nfallback = [\"a\"]\n")
        + &channel("discord", "name = \"d\"\nfallback = [\"a\"]\n");
    let problem = Setup { channels, ..Setup::new() }.problem();
    assert!(problem.contains("a -> b -> c -> a"), "{problem}");
}
