//! Secrets as a plugin sees them.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::kit::Door;
use crate::{
    egress::{KeyEncoding, SecretError, SignatureAlgorithm},
    limits,
};

const TOKEN: &str = "tok/5f2a \"9c7714e0";

fn sign(value: &str, encoding: KeyEncoding, data: &[u8]) -> Result<Vec<u8>, SecretError> {
    let door = Door::to_loopback().with_secret("key", value).open_alone();
    door.vault().sign("key", encoding, SignatureAlgorithm::HmacSha256, data)
}

#[test]
fn a_placeholder_is_the_same_each_time_and_says_nothing() {
    let door = Door::to_loopback().with_secret("token", TOKEN).open_alone();
    let placeholder = door.vault().placeholder("token").unwrap();
    assert_eq!(door.vault().placeholder("token").unwrap(), placeholder);
    assert!(
        placeholder.len() == 36 && placeholder.bytes().all(|byte| byte.is_ascii_alphanumeric())
    );
    assert_eq!(placeholder, placeholder.to_lowercase());
    let other = Door::to_loopback().with_secret("token", TOKEN).open_alone();
    assert_ne!(other.vault().placeholder("token").unwrap(), placeholder);
    assert_eq!(door.vault().placeholder("absent"), Err(SecretError::Unknown));
    assert!(!format!("{:?}", door.vault()).contains("5f2a"));
}

#[test]
fn signatures_agree_with_the_standards() {
    // Standard Webhooks 1.0.0, the example of its reference libraries.
    let data = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
    let expected = STANDARD.decode("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=").unwrap();
    let key = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert_eq!(sign(key, KeyEncoding::Base64, data).unwrap(), expected);
    let whsec = format!("whsec_{key}\n");
    assert_eq!(sign(&whsec, KeyEncoding::Whsec, data).unwrap(), expected);
    // RFC 4231, test case 2.
    let text = sign("Jefe", KeyEncoding::Text, b"what do ya want for nothing?").unwrap();
    assert!(text.starts_with(&[0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60]));
}

#[test]
fn a_key_that_does_not_decode_is_an_error_that_does_not_show_it() {
    for (value, encoding) in [
        ("n0t!base64", KeyEncoding::Base64),
        ("n0tprefixed", KeyEncoding::Whsec),
        ("whsec_n0t!base64", KeyEncoding::Whsec),
        ("", KeyEncoding::Text),
    ] {
        let error = sign(value, encoding, b"x").unwrap_err();
        assert!(matches!(&error, SecretError::Unusable(text) if !text.contains("n0t")), "{error}");
    }
}

#[test]
fn a_value_is_revealed_only_where_the_operator_grants_it() {
    let mut door = Door::to_loopback().with_secret("open", "one").with_secret("closed", "two");
    door.grants.reveal.insert(String::from("open"));
    let door = door.open_alone();
    assert_eq!(door.vault().reveal("open").unwrap().expose(), "one");
    assert_eq!(door.vault().reveal("closed").unwrap_err(), SecretError::Denied);
    assert_eq!(door.vault().reveal("absent").unwrap_err(), SecretError::Unknown);
    let first = |name| door.vault().is_first_reveal(name);
    assert_eq!((first("open"), first("open"), first("closed")), (true, false, false));
}

#[test]
fn a_cut_text_holds_no_half_of_a_secret() {
    let door = Door::to_loopback().with_secret("token", TOKEN).open_alone();
    let vault = door.vault();
    for before in 0..64 {
        // Several in front of it that become shorter, one that the cut halves, and more behind.
        let text = format!("{TOKEN}{TOKEN}{}{TOKEN}{}", "x".repeat(before), "y".repeat(200));
        let cut = vault.scrub_cut(&text, 64);
        assert!(cut.len() <= 64 && cut.starts_with("[secret][secret]x") == (before > 0), "{cut}");
        assert!(!cut.contains("tok"), "{cut}");
    }
    for length in 0..200 {
        // What was cut before it came here.
        let text: String =
            format!("{}{TOKEN}", "x".repeat(50)).repeat(3).chars().take(length).collect();
        let cut = vault.scrub_cut(&text, 64);
        assert!(cut.len() <= 64, "{cut}");
        assert!(length < 64 + vault.longest() - 4 || !cut.contains("tok"), "{length}: {cut}");
    }
    assert_eq!(vault.scrub_cut("nothing to hide", 64), "nothing to hide");
    assert_eq!(vault.scrub_cut("ünïcödé", 3), "ün");
}

#[test]
fn a_secret_of_several_lines_is_taken_out_line_by_line() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\nCCqGSM49AwEHBG0wawIBAQQg\n\
               -----END PRIVATE KEY-----";
    let door = Door::to_loopback().with_secret("key", key).open_alone();
    let scrub = |text: &str| door.vault().scrub(text);
    assert_eq!(scrub("second line CCqGSM49AwEHBG0wawIBAQQg"), "second line [secret]");
    assert_eq!(scrub("-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
    assert_eq!(scrub(key), "[secret]");
}

#[test]
fn the_number_of_user_names_is_bounded() {
    let door = Door::to_loopback().with_secret("password", TOKEN).open_alone();
    let vault = door.vault();
    let first = vault.basic_auth("user0", "password").unwrap();
    for number in 1..limits::BASIC_AUTHS_MAX {
        vault.basic_auth(&format!("user{number}"), "password").unwrap();
    }
    assert!(vault.basic_auth("one-more", "password").is_err());
    assert_eq!(vault.basic_auth("user0", "password").unwrap(), first);
    for bad in ["a:b", "a\nb", &"x".repeat(limits::BASIC_AUTH_USERNAME_BYTES_MAX + 1)] {
        assert!(matches!(vault.basic_auth(bad, "password"), Err(SecretError::Unusable(_))));
    }
    assert_eq!(vault.basic_auth("user0", "absent"), Err(SecretError::Unknown));
}

#[test]
fn a_text_for_people_holds_a_secret_in_no_form() {
    let door = Door::to_loopback()
        .with_secret("token", TOKEN)
        .with_secret("longer", &format!("{TOKEN}-and-more"))
        .with_secret("short", "1234")
        .open_alone();
    let vault = door.vault();
    let placeholder = vault.placeholder("token").unwrap();
    let basic = vault.basic_auth("me", "token").unwrap();
    let encoded_basic = STANDARD.encode(format!("me:{TOKEN}"));
    let encoded = STANDARD.encode(TOKEN);
    for hidden in [
        TOKEN,
        "tok%2F5f2a%20%229c7714e0",
        "tok%2f5f2a%20%229c7714e0",
        "tok/5f2a%20%229c7714e0",
        "tok/5f2a \\\"9c7714e0",
        encoded.as_str(),
        encoded.trim_end_matches('='),
        placeholder.as_str(),
        basic.as_str(),
        encoded_basic.as_str(),
    ] {
        let scrubbed = vault.scrub(&format!("before {hidden} after 1234"));
        let scrubbed = scrubbed.replace("[secret]=", "[secret]").replace("[secret]=", "[secret]");
        assert_eq!(scrubbed, "before [secret] after 1234", "{hidden}");
    }
    assert_eq!(vault.scrub(&format!("{TOKEN}-and-more")), "[secret]");
    assert_eq!(vault.scrub("nothing to hide"), "nothing to hide");
}
