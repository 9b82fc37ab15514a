use std::sync::Arc;

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

fn key(id: &str, password: &str) -> Key {
    Key::new(id, Zeroizing::new(password.as_bytes().to_vec())).unwrap()
}

fn ring(keys: &[(&str, &str)]) -> Keyring {
    let mut ring = Keyring::default();
    keys.iter()
        .for_each(|(id, password)| ring.add(key(id, password)));
    ring
}

fn open(ring: &Keyring, text: &str) -> Result<Vec<u8>, Locked> {
    ring.open(&Envelope::parse(text).unwrap())
        .map(|(plain, _)| plain.to_vec())
}

// The files in fixtures/ were made by ansible-vault of ansible-core 2.19.
const PLAIN: &str = include_str!("fixtures/plain.vault");
const LABELLED: &str = include_str!("fixtures/labelled.vault");
const BINARY: &str = include_str!("fixtures/binary.vault");

#[test]
fn what_ansible_vault_made_is_read() {
    let ring = ring(&[("default", "correct horse"), ("site", "battery staple")]);
    for (text, id, plain) in [
        (PLAIN, None, "Wartungsschlüssel 17\n".as_bytes()),
        (LABELLED, Some("site"), b"sixteen bytes ok"),
        (BINARY, None, b"\x00\xff\xfebinary"),
    ] {
        assert_eq!(Envelope::parse(text).unwrap().id.as_deref(), id);
        assert_eq!(open(&ring, text).unwrap(), plain);
        assert_eq!(Envelope::parse(text).unwrap().to_text(), text);
    }
}

#[test]
fn the_password_of_its_own_id_comes_first_and_then_all_others() {
    let own = ring(&[("other", "wrong"), ("site", "battery staple")]);
    assert!(open(&own, LABELLED).is_ok());
    let other = ring(&[("site", "wrong"), ("other", "battery staple")]);
    assert!(open(&other, LABELLED).is_ok());
    let named = other.open(&Envelope::parse(LABELLED).unwrap()).unwrap();
    assert_eq!(named.1.id, "other");
}

#[test]
fn a_vault_that_stays_shut_says_why() {
    for (keys, text, says) in [
        (
            &[][..],
            PLAIN,
            "it is encrypted with Ansible Vault, and no vault password was given",
        ),
        (
            &[],
            LABELLED,
            "it is encrypted with Ansible Vault under the id `site`, and no vault password was given",
        ),
        (
            &[("a", "x"), ("b", "y")],
            PLAIN,
            "none of the vault passwords that were given (a, b) opens it: its password is another one, or it is damaged",
        ),
        (
            &[("site", "x")],
            LABELLED,
            "the vault password `site` does not open it, though it names that id: the password is another one, or it \
             is damaged",
        ),
    ] {
        let locked = open(&ring(keys), text).unwrap_err();
        assert_eq!(locked.to_string(), says);
        assert!(!locked.help().is_empty());
    }
}

#[test]
fn damage_that_can_be_seen_is_told_with_its_line() {
    let lines: Vec<&str> = PLAIN.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        lines.join("\n")
    };
    for (text, wrong) in [
        (String::new(), Malformed::Header),
        ("secret\n".to_owned(), Malformed::Header),
        (
            with(0, "$ANSIBLE_VAULT;1.0;AES256"),
            Malformed::Version("1.0".to_owned()),
        ),
        (
            with(0, "$ANSIBLE_VAULT;1.1;AES"),
            Malformed::Cipher("AES".to_owned()),
        ),
        (with(2, "oops"), Malformed::Line(3)),
        (with(2, ""), Malformed::Short),
        (lines[..2].join("\n"), Malformed::Short),
        (lines[0].to_owned(), Malformed::Short),
    ] {
        assert_eq!(Envelope::parse(&text), Err(wrong), "{text}");
    }
}

#[test]
fn line_ends_and_blanks_around_lines_do_not_matter() {
    let ring = ring(&[("default", "correct horse")]);
    let dos = PLAIN.replace('\n', "\r\n");
    let indented: String = PLAIN.lines().map(|l| format!("{l}  \n")).collect();
    for text in [dos, indented] {
        assert_eq!(
            open(&ring, &text).unwrap(),
            "Wartungsschlüssel 17\n".as_bytes()
        );
    }
}

#[test]
fn an_empty_password_is_none() {
    assert!(Key::new("default", Zeroizing::default()).is_none());
}

#[test]
fn an_encrypted_value_is_decrypted_once_and_shows_nothing() {
    let ring = Arc::new(ring(&[("default", "correct horse")]));
    let value = Encrypted::new(PLAIN, ring.clone()).unwrap();
    assert_eq!(value.open().unwrap().expose(), "Wartungsschlüssel 17\n");
    assert!(std::ptr::eq(value.open().unwrap(), value.open().unwrap()));
    assert_eq!(format!("{value:?} {ring:?}").matches("Wartung").count(), 0);
    assert!(!format!("{ring:?}").contains("horse"));
    let binary = Encrypted::new(BINARY, ring).unwrap();
    assert!(binary.open().unwrap_err().message.contains("not UTF-8"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_sealed_opens_and_only_with_its_password(
        plain in proptest::collection::vec(any::<u8>(), 0..200),
        password in "\\PC{1,20}",
        id in "[a-z]{1,8}",
    ) {
        let own = key(&id, &password);
        let text = own.seal(&plain).unwrap().to_text();
        prop_assert!(text.lines().all(|l| l.len() <= 80));
        let envelope = Envelope::parse(&text).unwrap();
        prop_assert_eq!(envelope.id.clone(), (id != "default").then_some(id));
        let opened = own.open(&envelope);
        prop_assert_eq!(opened.as_deref(), Some(&plain));
        let other = format!("{password}!");
        prop_assert!(key("x", &other).open(&envelope).is_none());
    }

    #[test]
    fn a_changed_byte_is_refused(
        plain in proptest::collection::vec(any::<u8>(), 0..80),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        let own = key("default", "correct horse");
        let sealed = own.seal(&plain).unwrap();
        let mut parts = [sealed.salt.clone(), sealed.hmac.to_vec(), sealed.ciphertext.clone()];
        let total: usize = parts.iter().map(Vec::len).sum();
        let mut at = at.index(total);
        for part in &mut parts {
            match part.get_mut(at) {
                Some(byte) => {
                    *byte ^= flip;
                    break;
                }
                None => at -= part.len(),
            }
        }
        let [salt, hmac, ciphertext] = parts;
        let hmac = hmac.try_into().unwrap();
        let changed = Envelope { id: None, salt, hmac, ciphertext };
        prop_assert!(changed != sealed);
        prop_assert!(own.open(&changed).is_none());
    }

    #[test]
    fn a_changed_character_never_gives_another_text(
        at in any::<prop::sample::Index>(),
        to in any::<char>(),
    ) {
        let mut characters: Vec<char> = PLAIN.chars().collect();
        let at = at.index(characters.len());
        characters[at] = to;
        let changed: String = characters.into_iter().collect();
        let ring = ring(&[("default", "correct horse")]);
        if let Ok(envelope) = Envelope::parse(&changed)
            && let Ok((plain, _)) = ring.open(&envelope)
        {
            // Another case of a digit, or a blank at an end, is the same vault.
            prop_assert_eq!(plain.as_slice(), "Wartungsschlüssel 17\n".as_bytes());
        }
    }
}
