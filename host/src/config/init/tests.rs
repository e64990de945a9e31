use super::*;
use crate::config::{Environment, Loaded, load};

fn environment_of(folder: &Path) -> Environment {
    Environment::of_process(Some(&folder.join(DOTENV_FILE))).unwrap()
}

fn loaded(folder: &Path) -> Loaded {
    load(folder, &environment_of(folder))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_init_makes_loads_without_problems() {
    let folder = tempfile::tempdir().unwrap();
    let made = init(folder.path(), &InitOptions::default()).unwrap();
    let tenant = made.tenant.unwrap();
    assert_eq!(tenant.key.expose().len(), 64);
    assert_eq!(tenant.tenant_id.0.get_version_num(), 7);
    assert_ne!(Some(tenant.key.expose()), made.admin_key.as_ref().map(Secret::expose));

    let Loaded { config, problems, .. } = loaded(folder.path());
    assert_eq!(problems, []);
    let loaded_tenant = &config.tenants[&tenant.tenant_id];
    assert_eq!(&*loaded_tenant.name, "Default Tenant");
    assert_eq!(&*loaded_tenant.slug, "default-tenant");
    assert_eq!(loaded_tenant.key_hashes, [tenant.key.fingerprint()]);
    assert!(loaded_tenant.channels.contains_key("log"));
}

#[test]
fn the_key_is_in_dotenv_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let made = init(folder.path(), &InitOptions::default()).unwrap();
    let tenant = made.tenant.unwrap();
    let line = format!("{}={}\n", tenant.variable, tenant.key.expose());
    assert!(read(&made.dotenv).contains(&line));
    assert!(read(&made.dotenv).contains("\nCONDUCTOR_ADMIN_KEY="));
    for file in &made.files {
        assert!(!read(file).contains(tenant.key.expose()), "{}", file.display());
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 4, "no temporary file is left: {left:?}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_dotenv() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let dotenv = folder.path().join(DOTENV_FILE);
    std::fs::write(&dotenv, "A=1").unwrap();
    std::fs::set_permissions(&dotenv, std::fs::Permissions::from_mode(0o644)).unwrap();
    init(folder.path(), &InitOptions::default()).unwrap();
    assert_eq!(std::fs::metadata(&dotenv).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(read(&dotenv).starts_with("A=1\nTENANT_"), "what was there stays");
}

#[test]
fn init_never_writes_over_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(PLUGINS_FILE), "# mine\n").unwrap();
    let made = init(folder.path(), &InitOptions::default()).unwrap();
    assert_eq!(made.files.len(), 2);
    assert_eq!(read(&folder.path().join(PLUGINS_FILE)), "# mine\n");
    let dotenv = read(&made.dotenv);
    let again = init(folder.path(), &InitOptions::default());
    assert!(matches!(again, Err(InitError::AlreadyThere(_))));
    assert_eq!(read(&made.dotenv), dotenv);
}

#[test]
fn an_interrupted_init_is_completed_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &InitOptions::default()).unwrap();
    std::fs::remove_file(folder.path().join(TENANTS_FILE)).unwrap();
    let made = init(folder.path(), &InitOptions::default()).unwrap();
    assert!(made.tenant.is_some());
    assert!(made.admin_key.is_none(), "there is one already");
    assert_eq!(loaded(folder.path()).problems, []);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, "first").unwrap();
    assert!(files::create(&path, "second").is_err());
    assert_eq!(read(&path), "first");
}

#[test]
fn dotenv_is_added_to_gitignore_where_git_is() {
    let plain = tempfile::tempdir().unwrap();
    assert_eq!(init(plain.path(), &InitOptions::default()).unwrap().gitignore, None);
    assert!(!plain.path().join(".gitignore").exists());

    let work_tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(work_tree.path().join(".git")).unwrap();
    std::fs::write(work_tree.path().join(".gitignore"), "target/").unwrap();
    let nested = work_tree.path().join("deploy");
    let made = init(&nested, &InitOptions::default()).unwrap();
    assert_eq!(read(&made.gitignore.unwrap()), ".env\n");

    let ignored = tempfile::tempdir().unwrap();
    std::fs::create_dir(ignored.path().join(".git")).unwrap();
    std::fs::write(ignored.path().join(".gitignore"), "target/\n.env\n").unwrap();
    assert_eq!(init(ignored.path(), &InitOptions::default()).unwrap().gitignore, None);
}

#[test]
fn a_tenant_may_have_quotes_in_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let name = "The \"A\" \\ Team ä";
    let made = init(folder.path(), &InitOptions { tenant_name: name.to_owned() }).unwrap();
    let Loaded { config, problems, .. } = loaded(folder.path());
    assert_eq!(problems, []);
    assert_eq!(&*config.tenants[&made.tenant.unwrap().tenant_id].name, name);
    let refused = init(folder.path(), &InitOptions { tenant_name: String::from("\n") });
    assert!(refused.is_err());
}

const COMMITTED: &str = r#"
[[tenant]]
id = "0198c0de-0000-7000-8000-000000000001"
name = "A"
auth_key_env = "A_KEY"
generate_key = true

[[tenant]]
id = "0198c0de-0000-7000-8000-000000000002"
name = "B"
auth_key_env = "B_KEY"
"#;

#[test]
fn a_key_is_generated_once_and_only_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(TENANTS_FILE), COMMITTED).unwrap();
    let mut environment = environment_of(folder.path());
    let made = ensure_keys(folder.path(), &mut environment).unwrap();
    assert_eq!(made.tenants.len(), 1);
    assert_eq!(made.tenants[0].variable, "A_KEY");
    assert_eq!(environment.get("A_KEY"), Some(made.tenants[0].key.expose()));
    assert!(made.admin_key.is_some());
    assert_eq!(environment_of(folder.path()).get("A_KEY"), environment.get("A_KEY"));

    let dotenv = read(&made.dotenv);
    let mut environment = environment_of(folder.path());
    let again = ensure_keys(folder.path(), &mut environment).unwrap();
    assert!(again.tenants.is_empty() && again.admin_key.is_none());
    assert_eq!(read(&made.dotenv), dotenv);
}

#[test]
fn no_key_is_generated_behind_the_real_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(TENANTS_FILE), COMMITTED).unwrap();
    // Empty, but there: it would hide what is written into `.env`.
    let mut environment = Environment::from_pairs([("A_KEY", "")]);
    assert!(ensure_keys(folder.path(), &mut environment).unwrap().tenants.is_empty());
    assert!(!folder.path().join(DOTENV_FILE).exists());
}

#[test]
fn no_secret_shows_in_what_init_returns() {
    let folder = tempfile::tempdir().unwrap();
    let made = init(folder.path(), &InitOptions::default()).unwrap();
    let key = made.tenant.as_ref().unwrap().key.expose().to_owned();
    assert!(!format!("{made:?}").contains(&key));
}
