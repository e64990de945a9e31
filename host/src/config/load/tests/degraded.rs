//! What is valid is loaded although something else is not.

use super::support::{Setup, channel, tenant};

#[test]
fn one_bad_tenant_or_channel_leaves_the_others_alone() {
    let setup = Setup {
        tenants: tenant(1, "A", "") + &tenant(2, "B", "zzz = 1\n"),
        channels: channel("discord", "")
            + &channel("discord", "name = \"bad\"\nzzz = 1\n")
            + &channel("log", "zzz = 1\n").replace("00000001\"", "00000002\""),
        ..Setup::new()
    };
    let loaded = setup.load();
    assert_eq!(loaded.problems.len(), 3, "{:#?}", loaded.problems);
    assert_eq!(loaded.config.tenants.len(), 1);
    let tenant = loaded.config.tenants.values().next().unwrap();
    let names: Vec<&str> = tenant.channels.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["discord", "log"]);
}

#[test]
fn one_bad_plugin_takes_its_channels_along_without_more_messages() {
    let mut setup = Setup::new();
    setup.plugins += "[[plugin]]\nname = \"bad\"\nzzz = 1\n\
                      [[plugin]]\nname = \"upon\"\nrequires = [\"bad\"]\n\
                      [[plugin]]\nname = \"upon-that\"\nrequires = [\"upon\"]\n";
    setup.channels = channel("bad", "") + &channel("upon-that", "") + &channel("discord", "");
    let problem = setup.problem();
    assert!(problem.contains("zzz"), "{problem}");
    let loaded = setup.load();
    assert_eq!(loaded.config.plugins.len(), 3);
    assert_eq!(loaded.config.notices.len(), 2, "{:#?}", loaded.config.notices);
    let tenant = loaded.config.tenants.values().next().unwrap();
    assert_eq!(tenant.channels.len(), 2);
}

#[test]
fn a_channel_whose_fallback_is_wrong_still_delivers() {
    let channels = channel("discord", "name = \"a\"\nfallback = [\"b\", \"nope\", \"log\"]\n")
        + &channel("discord", "name = \"b\"\nfallback = [\"a\"]\n");
    let loaded = Setup { channels, ..Setup::new() }.load();
    assert_eq!(loaded.problems.len(), 2, "{:#?}", loaded.problems);
    let tenant = loaded.config.tenants.values().next().unwrap();
    let fallback: Vec<&str> =
        tenant.channels["a"].fallback.iter().map(|name| name.as_str()).collect();
    assert_eq!(fallback, ["b", "log"]);
    assert!(tenant.channels["b"].fallback.is_empty());
}

#[test]
fn a_bad_channel_is_not_replaced_by_the_implicit_one() {
    let channels = channel("log", "[channel.options]\na = \"${NOPE}\"\n");
    let loaded = Setup { channels, ..Setup::new() }.load();
    assert_eq!(loaded.problems.len(), 1);
    assert!(loaded.config.tenants.values().next().unwrap().channels.is_empty());
}

#[test]
fn a_tenant_is_not_open_to_all_because_the_default_access_is_wrong() {
    let own = "[tenant.access]\nsources = [\"10.0.0.0/8\"]\n";
    for wrong in ["access = 1\n", "access.sources = [\"x\"]\n", "access.source = []\n"] {
        let tenants = tenant(1, "A", "") + &tenant(2, "B", own) + "[defaults]\n" + wrong;
        let loaded = Setup { tenants, ..Setup::new() }.load();
        assert_eq!(loaded.problems.len(), 1, "{:#?}", loaded.problems);
        let left: Vec<&str> = loaded.config.tenants.values().map(|tenant| &*tenant.name).collect();
        assert_eq!(left, ["B"]);
    }
}
