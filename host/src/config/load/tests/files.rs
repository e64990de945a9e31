//! Files that are not there, not whole, or no TOML.

use super::support::{Setup, channel, id, tenant};
use crate::{
    config::{CHANNELS_FILE, PLUGINS_FILE, TENANTS_FILE},
    limits,
};

#[test]
fn a_good_setup_has_no_problems() {
    assert_eq!(Setup::new().problems(), [] as [String; 0]);
}

#[test]
fn each_file_that_is_not_there_is_told_with_its_path_and_the_remedy() {
    let setup = Setup::new();
    let problems = setup.load_as_is().problems;
    assert_eq!(problems.len(), 3, "{problems:#?}");
    for (problem, name) in problems.iter().zip([PLUGINS_FILE, TENANTS_FILE, CHANNELS_FILE]) {
        let path = setup.folder.path().join(name);
        assert!(problem.message.starts_with(&path.display().to_string()), "{problem}");
        assert!(problem.message.contains("conductor init"), "{problem}");
    }
}

#[test]
fn a_file_that_is_no_text_is_told() {
    for (content, expected) in [
        (&b""[..], "tenants.toml:1: the file is empty"),
        (b" \n\n\t\n", "tenants.toml:1: the file is empty"),
        (b"# nobody\n", "tenants.toml:1: there is no [[tenant]]"),
        (b"\x7fELF\x02\x01\x00\x00", "tenants.toml:1: there is a NUL byte"),
        (b"\xff\xfea\x00=\x001\x00", "tenants.toml:1: there is a NUL byte"),
        (b"# a\n# b\n# \xe9\n", "tenants.toml:3: this is not UTF-8"),
    ] {
        let setup = Setup::new();
        setup.load();
        std::fs::write(setup.folder.path().join(TENANTS_FILE), content).unwrap();
        let problems = setup.load_as_is().problems;
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].to_string().starts_with(expected), "{}", problems[0]);
    }
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let setup = Setup::new();
    setup.load();
    let path = setup.folder.path().join(CHANNELS_FILE);
    // Sparse: takes no space.
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(limits::CONFIG_FILE_BYTES_MAX + 1).unwrap();
    let problems = setup.load_as_is().problems;
    assert!(problems[0].message.contains("larger than 64 MiB"), "{problems:#?}");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(setup.load_as_is().problems[0].message.contains("cannot be read"));
}

#[test]
fn a_half_written_file_is_told_with_line_column_and_text() {
    for (text, expected, shown) in [
        ("[[tenant]]\nid = \"0198", "tenants.toml:2: column ", "    id = \"0198"),
        ("[[tenant]]\nid = 1\n[[ten", "tenants.toml:3: column ", "    [[ten"),
        ("[[tenant]]\nname\n", "tenants.toml:2: column ", "    name"),
        ("[[tenant]]\nid = 1\nid = 2\n", "tenants.toml:3: column 1", "    id = 2"),
    ] {
        let setup = Setup { tenants: text.to_owned(), ..Setup::new() };
        let problem = setup.problem();
        assert!(problem.starts_with(expected), "{problem}");
        assert!(problem.contains(shown), "{problem}");
        assert!(problem.contains("Mend the line"), "{problem}");
    }
}

#[test]
fn a_syntax_error_does_not_show_a_credential() {
    let token = "a1b2c3d4e5f6a1b2c3d4e5f6";
    let channels = channel("discord", &format!("[channel.secrets]\nBOT = \"{token}\n"));
    let problem = Setup { channels, ..Setup::new() }.problem();
    assert!(problem.starts_with("channels.toml:5: "), "{problem}");
    assert!(!problem.contains(token), "{problem}");
}

#[test]
fn a_broken_file_does_not_make_the_others_look_wrong() {
    let channels = channel("discord", "");
    let tenants = tenant(1, "A", "plugins = [\"audit\"]\n");
    let setup = Setup { plugins: String::from("["), tenants, channels, ..Setup::new() };
    assert!(setup.problem().starts_with("plugins.toml:1: "));
    let channels = channel("discord", "");
    let setup = Setup { tenants: String::from("["), channels, ..Setup::new() };
    assert!(setup.problem().starts_with("tenants.toml:1: "));
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once_in_order() {
    let setup = Setup {
        plugins: String::from("[[plugin]]\nname = \"log\"\nlayz = true\n[[plugin]]\nname = 1\n"),
        tenants: format!(
            "{}{}[[tenant]]\nid = \"x\"\nname = \"C\"\nauth_key_env = \"TOKEN\"\nports = [0]\n",
            tenant(1, "A", "colour = 1\n"),
            tenant(2, "B", "[tenant.limits]\nrate = -1\nburst = \"x\"\n"),
        ),
        channels: format!("{}{}", channel("lgo", "optionl = 1\n"), channel("log", "fallback = 1")),
        ..Setup::new()
    };
    let problems = setup.problems();
    let places: Vec<&str> =
        problems.iter().map(|problem| problem.split_once(": ").unwrap().0).collect();
    assert_eq!(
        places,
        [
            "plugins.toml:3",
            "plugins.toml:5",
            "tenants.toml:5",
            "tenants.toml:11",
            "tenants.toml:12",
            "tenants.toml:14",
            "tenants.toml:16",
            "tenants.toml:17",
            "channels.toml:3",
            "channels.toml:4",
            "channels.toml:8",
        ],
        "{problems:#?}"
    );
}

#[test]
fn thousands_of_unknown_tenants_do_not_take_long() {
    use std::fmt::Write as _;

    let mut channels = String::new();
    let mut tenants = String::new();
    for number in 1..3_000 {
        let _ = write!(channels, "[[channel]]\ntenant_id = \"{}\"\n", id(number + 100_000));
        let _ = writeln!(channels, "channel_type = \"log\"");
        tenants.push_str(&tenant(number, "A", ""));
    }
    let started = std::time::Instant::now();
    Setup { tenants, channels, ..Setup::new() }.load();
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn a_file_that_is_cut_anywhere_is_read_or_refused_but_nothing_else() {
    let mut setup = Setup::new();
    setup.channels = channel("discord", "provider_secret_env = \"TOKEN\"\n[channel.retry]\n");
    let whole = setup.load();
    assert_eq!(whole.problems, []);
    let path = setup.folder.path().join(TENANTS_FILE);
    for length in 0..setup.tenants.len() - 1 {
        std::fs::write(&path, &setup.tenants[..length]).unwrap();
        let loaded = setup.load_as_is();
        assert!(!loaded.problems.is_empty(), "cut at {length}");
        assert!(loaded.config.tenants.is_empty(), "cut at {length}");
    }
}

#[test]
fn a_file_cannot_exhaust_the_stack() {
    let nested = format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let plugins = format!("[[plugin]]\nname = \"x\"\n[plugin.options]\n{nested}\n");
    let setup = Setup { plugins, ..Setup::new() };
    assert!(setup.problems()[0].starts_with("plugins.toml:4: "), "{:#?}", setup.problems()[0]);
    let dotted = format!("[[plugin]]\nname = \"x\"\noptions{} = 1\n", ".a".repeat(100_000));
    let setup = Setup { plugins: dotted, ..Setup::new() };
    assert!(setup.problems()[0].starts_with("plugins.toml:3: "), "{:#?}", setup.problems()[0]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "[\\[\\]a-z_=\"'{}$.:0-9\n ,-]{0,200}") {
        let mut setup = Setup::new();
        setup.channels = channel("discord", &text);
        setup.tenants += &text;
        setup.plugins += &text;
        setup.load();
    }
}
