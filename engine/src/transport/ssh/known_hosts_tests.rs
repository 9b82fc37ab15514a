use super::*;

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE";

fn shown(text: &str) -> PublicKeyOrCertificate {
    PublicKeyOrCertificate::PublicKey {
        key: PublicKey::from_openssh(text).unwrap(),
        hash_alg: None,
    }
}

fn judged(file: &str, host: &str, port: u16) -> Verdict {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known_hosts");
    std::fs::write(&path, file).unwrap();
    KnownHost::read(&[path], host, port).judge(&shown(A), host)
}

#[test]
fn hosts_are_found_as_openssh_writes_them() {
    let known = |pattern: &str, host: &str, port: u16| {
        judged(&format!("{pattern} {A}\n"), host, port) == Verdict::Known
    };
    for (pattern, host, port, expected) in [
        ("web", "web", 22, true),
        ("web", "WEB", 22, true),
        ("web", "web", 2222, false),
        ("[web]:2222", "web", 2222, true),
        ("[web]:2222", "web", 22, false),
        ("web,192.0.2.1", "192.0.2.1", 22, true),
        ("*.example", "a.example", 22, true),
        ("*.example,!b.example", "b.example", 22, false),
        ("!b.example,*.example", "b.example", 22, false),
        ("w?b", "web", 22, true),
        ("w?b", "weeb", 22, false),
        ("*", "web", 22, true),
        ("other", "web", 22, false),
    ] {
        assert_eq!(
            known(pattern, host, port),
            expected,
            "{pattern} {host}:{port}"
        );
    }
}

#[test]
fn hashed_names_are_found() {
    // Made with `ssh-keygen -H` from a line for [web]:2222.
    let salt = [7_u8; 20];
    let encode = |b: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, b);
    let line = format!(
        "|1|{}|{} {A}\n",
        encode(&salt),
        encode(&hmac_sha1(&salt, b"[web]:2222"))
    );
    assert_eq!(judged(&line, "web", 2222), Verdict::Known);
    assert_eq!(judged(&line, "web", 22), Verdict::New);
    // RFC 2202, test case 2.
    assert_eq!(
        hex::encode(hmac_sha1(b"Jefe", b"what do ya want for nothing?")),
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    );
}

#[test]
fn a_changed_key_names_the_old_line_and_both_fingerprints() {
    let Verdict::Refused(why) = judged(&format!("# a comment\nother {A}\nweb {B}\n"), "web", 22)
    else {
        panic!("accepted");
    };
    assert!(why.contains("line 3"), "{why}");
    let print = |text| fingerprint(&PublicKey::from_openssh(text).unwrap());
    assert!(why.contains(&print(A)) && why.contains(&print(B)), "{why}");
}

#[test]
fn a_revoked_key_is_refused_wherever_it_is_named_too() {
    let file = format!("web {A}\n@revoked * {A}\n");
    assert!(matches!(judged(&file, "web", 22), Verdict::Refused(why) if why.contains("line 2")));
}

#[test]
fn an_authority_does_not_vouch_for_a_bare_key() {
    assert_eq!(
        judged(&format!("@cert-authority * {A}\n"), "web", 22),
        Verdict::New
    );
}

#[test]
fn a_new_key_is_added_and_known_then() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/known_hosts");
    let host = KnownHost::read(std::slice::from_ref(&path), "web", 2222);
    assert_eq!(host.judge(&shown(A), "web"), Verdict::New);
    host.add(&PublicKey::from_openssh(A).unwrap()).unwrap();
    std::fs::write(
        &path,
        std::fs::read_to_string(&path)
            .unwrap()
            .trim_end()
            .to_owned()
            + "\n# end without newline",
    )
    .unwrap();
    KnownHost::read(std::slice::from_ref(&path), "two", 22)
        .add(&PublicKey::from_openssh(B).unwrap())
        .unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    let again = KnownHost::read(&[path], "web", 2222);
    assert_eq!(again.judge(&shown(A), "web"), Verdict::Known);
}
