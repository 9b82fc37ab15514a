//! Signatures as the real tools make them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::digest::{Algorithm, Question};
use super::key::{Claim, Making, Signer, claim};

/// A folder in which tools make keys and signatures.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// `None`, said: the tool is not here.
    fn new(test: &str, program: &str) -> Option<Self> {
        if Command::new(program).arg("--help").output().is_err() {
            crate::skip::skip(test, &format!("no {program} on this machine"));
            return None;
        }
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        bench.write("file", &content);
        Some(bench)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path().join(name), content).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }

    /// Runs a line of words, which has to succeed.
    fn run(&self, line: &str) -> String {
        let words: Vec<String> = shlex::split(line).unwrap();
        let said = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(self.path())
            .env("GNUPGHOME", self.path())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|e| panic!("{line}: {e}"));
        let error = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{line}: {error}");
        String::from_utf8(said.stdout).unwrap()
    }

    fn claim(
        &self,
        key: &str,
        signature: &str,
        making: Making<'_>,
    ) -> Result<Box<dyn Claim>, String> {
        claim(&self.read(key), &self.read(signature), making)
    }

    /// The signature is one of the file, here and by the host's hash of it; and of no other file.
    fn good(&self, key: &str, signature: &str, making: Making<'_>) -> Signer {
        let claim = self.claim(key, signature, making).unwrap();
        let question = claim.question();
        let mut content = self.read("file");
        let here = question.answer(&content);
        let words = question.command(self.path().join("file").to_str().unwrap());
        assert_eq!(said_hash(&words), hex::encode(&here), "{words:?}");
        let signer = claim.verify(&here).unwrap();
        content[123_456] ^= 1;
        let why = claim.verify(&question.answer(&content)).unwrap_err();
        assert!(why.contains("not the one that was signed"), "{why}");
        self.no_flipped_bit_is_good(key, signature, making, &here);
        signer
    }

    /// Bits that do not count: those that no reader looks at (a comment), and that encode the same.
    fn no_flipped_bit_is_good(&self, key: &str, signature: &str, making: Making<'_>, hash: &[u8]) {
        let (key, whole) = (self.read(key), self.read(signature));
        let good = claim(&key, &whole, making).unwrap().verify(hash).unwrap();
        for at in (0..whole.len()).step_by(whole.len().div_ceil(97)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 7);
            let Ok(signer) = claim(&key, &bytes, making).and_then(|c| {
                // Another question has another answer.
                let answer = c.question().answer(&self.read("file"));
                c.verify(&answer)
            }) else {
                continue;
            };
            assert_eq!(
                signer,
                good,
                "byte {at} of {}",
                String::from_utf8_lossy(&whole)
            );
        }
    }
}

fn said_hash(words: &[String]) -> String {
    let said = Command::new(&words[0]).args(&words[1..]).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    text.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn why<T>(result: Result<T, String>) -> String {
    result.err().expect("it is refused")
}

const PLAIN: Making<'_> = Making {
    digest: None,
    namespace: None,
};

#[test]
fn openssl_signs() {
    let Some(bench) = Bench::new("openssl_signs", "openssl") else {
        return;
    };
    let keys = [
        (
            "rsa",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        ),
        (
            "p256",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        ),
        (
            "p384",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        ),
    ];
    let digests = [
        ("sha224", Algorithm::Sha224),
        ("sha256", Algorithm::Sha256),
        ("sha384", Algorithm::Sha384),
        ("sha512", Algorithm::Sha512),
    ];
    for (name, make) in keys {
        bench.run(&format!("openssl {make} -out {name}.key"));
        bench.run(&format!(
            "openssl pkey -in {name}.key -pubout -out {name}.pub"
        ));
        for (digest, algorithm) in digests {
            bench.run(&format!(
                "openssl dgst -{digest} -sign {name}.key -out {name}.sig file"
            ));
            let making = Making {
                digest: Some(algorithm),
                ..PLAIN
            };
            let signer = bench.good(&format!("{name}.pub"), &format!("{name}.sig"), making);
            assert_eq!(signer.format, "openssl");
            let info = bench.run(&format!(
                "sh -c 'openssl pkey -pubin -in {name}.pub -outform DER | sha256sum'"
            ));
            assert_eq!(
                signer.key,
                format!("sha256:{}", info.split(' ').next().unwrap())
            );
        }
    }
    // The last one was made with SHA-512: what is supposed is said.
    let claim = bench.claim("rsa.pub", "rsa.sig", PLAIN).unwrap();
    let answer = claim.question().answer(&bench.read("file"));
    assert!(why(claim.verify(&answer)).contains("not with `digest: sha256`"));
    assert!(why(bench.claim("p256.pub", "rsa.sig", PLAIN)).contains("cannot be one by such a key"));
    assert!(why(bench.claim("rsa.key", "rsa.sig", PLAIN)).contains("a private one"));

    bench.run("openssl dgst -sha256 -sign rsa.key -sigopt rsa_padding_mode:pss -out pss.sig file");
    bench.good("rsa.pub", "pss.sig", PLAIN);
    bench.run("openssl dgst -sha256 -sign rsa.key -out raw.sig file");
    bench.run("openssl base64 -in raw.sig -out lines.sig");
    bench.good("rsa.pub", "lines.sig", PLAIN);
    bench.run("openssl req -x509 -new -key p256.key -subj /CN=vendor -days 1 -out vendor.crt");
    bench.run("openssl dgst -sha256 -sign p256.key -out raw.sig file");
    bench.good("vendor.crt", "raw.sig", PLAIN);

    bench.run("openssl genpkey -algorithm ED25519 -out ed.key");
    bench.run("openssl pkey -in ed.key -pubout -out ed.pub");
    assert!(why(bench.claim("ed.pub", "raw.sig", PLAIN)).contains("Ed25519"));
}

#[test]
fn minisign_signs() {
    let Some(bench) = Bench::new("minisign_signs", "minisign") else {
        return;
    };
    for name in ["one", "other"] {
        bench.run(&format!("minisign -G -W -p {name}.pub -s {name}.key"));
    }
    bench.run("minisign -S -W -s one.key -m file -t 'of 2.31.0, $x'");
    let signer = bench.good("one.pub", "file.minisig", PLAIN);
    assert_eq!(signer.comment.as_deref(), Some("of 2.31.0, $x"));
    let public = String::from_utf8(bench.read("one.pub")).unwrap();
    assert!(public.contains(&signer.key), "{} in {public}", signer.key);
    assert!(
        why(bench.claim("other.pub", "file.minisig", PLAIN)).contains("was signed with the key")
    );
    // The line alone, as it stands in instructions.
    let line = public.lines().nth(1).unwrap();
    bench.write("line.pub", line.as_bytes());
    bench.good("line.pub", "file.minisig", PLAIN);
    let signature = String::from_utf8(bench.read("file.minisig")).unwrap();
    bench.write("lied", signature.replace("2.31.0", "2.32.0").as_bytes());
    assert!(why(bench.claim("one.pub", "lied", PLAIN)).contains("trusted comment"));
    bench.run("minisign -S -l -W -s one.key -m file -x old.minisig");
    assert!(why(bench.claim("one.pub", "old.minisig", PLAIN)).contains("old form"));
}

#[test]
fn openssh_signs() {
    let Some(bench) = Bench::new("openssh_signs", "ssh-keygen") else {
        return;
    };
    for (name, kind) in [
        ("ed", "ed25519"),
        ("rsa", "rsa"),
        ("ec", "ecdsa"),
        ("other", "ed25519"),
    ] {
        bench.run(&format!("ssh-keygen -q -t {kind} -N '' -C 'a b' -f {name}"));
        bench.run(&format!("ssh-keygen -q -Y sign -f {name} -n file file"));
        bench.run(&format!("mv file.sig {name}.sig"));
        let signer = bench.good(&format!("{name}.pub"), &format!("{name}.sig"), PLAIN);
        let listed = bench.run(&format!("ssh-keygen -l -f {name}.pub"));
        assert!(listed.contains(&signer.key), "{listed}");
    }
    assert!(why(bench.claim("other.pub", "ed.sig", PLAIN)).contains("none of those given"));
    let key = |name: &str| String::from_utf8(bench.read(name)).unwrap();
    let several = format!(
        "# both\n{}vendor@example.org {}",
        key("other.pub"),
        key("ed.pub")
    );
    bench.write("several", several.as_bytes());
    bench.good("several", "ed.sig", PLAIN);
    let options = format!("vendor valid-before=\"2020\" {}", key("ed.pub"));
    bench.write("options", options.as_bytes());
    assert!(why(bench.claim("options", "ed.sig", PLAIN)).contains("valid-before"));

    bench.run("ssh-keygen -q -Y sign -f ed -n git -O hashalg=sha256 file");
    assert!(why(bench.claim("ed.pub", "file.sig", PLAIN)).contains("namespace `git`"));
    let git = Making {
        namespace: Some("git"),
        ..PLAIN
    };
    bench.good("ed.pub", "file.sig", git);
}

#[test]
fn gnupg_signs() {
    let Some(bench) = Bench::new("gnupg_signs", "gpg") else {
        return;
    };
    bench.run("chmod 0700 .");
    let gpg = "gpg --batch --quiet --pinentry-mode loopback --passphrase ''";
    let sign = |who: &str, options: &str| {
        bench.run("rm -f sig");
        bench.run(&format!(
            "{gpg} -u {who} {options} --detach-sign -o sig file"
        ));
    };
    let export = |who: &str| {
        let _ = fs::remove_file(bench.path().join(format!("{who}.asc")));
        bench.run(&format!("{gpg} --armor --export -o {who}.asc {who}"));
    };
    for (who, kind) in [("rsa", "rsa2048"), ("ed", "ed25519"), ("ec", "nistp256")] {
        bench.run(&format!(
            "{gpg} --quick-generate-key {who} {kind} sign never"
        ));
        export(who);
        for options in ["", "--armor", "--digest-algo SHA384"] {
            sign(who, options);
            let signer = bench.good(&format!("{who}.asc"), "sig", PLAIN);
            let list = bench.run(&format!("{gpg} --list-keys --with-colons {who}"));
            assert!(list.contains(&signer.key), "{list}");
            assert!(signer.time.is_some_and(|t| t > 1_700_000_000));
        }
    }
    // A key of bytes.
    bench.run(&format!("{gpg} --export -o rsa.bin rsa"));
    sign("rsa", "");
    bench.good("rsa.bin", "sig", PLAIN);
    assert!(why(bench.claim("ed.asc", "sig", PLAIN)).contains("none of those given"));
    bench.run(&format!("{gpg} --export -o all.bin"));
    bench.good("all.bin", "sig", PLAIN);
    // What is weak, and what is none.
    sign("rsa", "--digest-algo SHA1 --allow-weak-digest-algos");
    assert!(why(bench.claim("rsa.asc", "sig", PLAIN)).contains("SHA1"));
    bench.run("rm sig");
    bench.run(&format!(
        "{gpg} -u rsa --textmode --detach-sign -o sig file"
    ));
    assert!(why(bench.claim("rsa.asc", "sig", PLAIN)).contains("of a text"));
    bench.run("rm sig");
    bench.run(&format!("{gpg} -u rsa --sign -o sig file"));
    assert!(why(bench.claim("rsa.asc", "sig", PLAIN)).contains("no detached one"));

    // A subkey that signs, then is revoked.
    bench.run(&format!(
        "{gpg} --quick-generate-key sub ed25519 cert never"
    ));
    let of = |who: &str| {
        let list = bench.run(&format!("{gpg} --list-keys --with-colons {who}"));
        let prints = list.lines().filter(|l| l.starts_with("fpr:"));
        let name = |line: &str| line.split(':').nth(9).unwrap().to_owned();
        prints.map(name).collect::<Vec<String>>()
    };
    let primary = of("sub")[0].clone();
    bench.run(&format!(
        "{gpg} --quick-add-key {primary} ed25519 sign never"
    ));
    export("sub");
    sign("sub", "");
    let signer = bench.good("sub.asc", "sig", PLAIN);
    assert_eq!(signer.key, of("sub")[1]);

    // An expired key: what it signed before stays good.
    bench.run(&format!(
        "{gpg} --faked-system-time 20200101T000000! --quick-generate-key gone ed25519 sign 10d"
    ));
    bench.run("rm sig");
    bench.run(&format!(
        "{gpg} --faked-system-time 20200105T000000! -u gone --detach-sign -o sig file"
    ));
    export("gone");
    bench.good("gone.asc", "sig", PLAIN);
    bench.run("rm sig");
    bench.run(&format!("{gpg} --faked-system-time 20200105T000000! -u gone --default-sig-expire 1d --detach-sign -o sig file"));
    assert!(why(bench.claim("gone.asc", "sig", PLAIN)).contains("over its time"));
}

#[test]
fn a_key_that_was_revoked_is_none() {
    let Some(bench) = Bench::new("a_key_that_was_revoked_is_none", "gpg") else {
        return;
    };
    bench.run("chmod 0700 .");
    let gpg = "gpg --batch --quiet --pinentry-mode loopback --passphrase ''";
    bench.run(&format!(
        "{gpg} --quick-generate-key lost ed25519 sign never"
    ));
    bench.run(&format!("{gpg} -u lost --detach-sign -o sig file"));
    bench.run(&format!("{gpg} --export -o good.bin lost"));
    bench.good("good.bin", "sig", PLAIN);
    let folder = bench.path().join("openpgp-revocs.d");
    let made = fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    // gpg has put a colon before it, lest it be imported by mistake.
    let text = fs::read_to_string(made)
        .unwrap()
        .replace(":-----BEGIN", "-----BEGIN");
    bench.write("revoke", text.as_bytes());
    bench.run(&format!("{gpg} --import revoke"));
    bench.run(&format!("{gpg} --export -o revoked.bin lost"));
    assert!(why(bench.claim("revoked.bin", "sig", PLAIN)).contains("was revoked"));
}

#[test]
fn what_is_no_key_is_refused() {
    for key in [
        "",
        "nothing",
        "\u{0}",
        "-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----\n",
    ] {
        assert!(claim(key.as_bytes(), b"x", PLAIN).is_err(), "{key:?}");
    }
    assert!(why(claim(b"x", b"x", PLAIN)).contains("none that is known here"));
}

proptest! {
    /// The host hashes what stands around the file as it is here.
    #[test]
    fn a_host_says_the_same_hash(
        before in prop::collection::vec(any::<u8>(), 0..40),
        after in prop::collection::vec(any::<u8>(), 0..300),
        content in prop::collection::vec(any::<u8>(), 0..100),
        name in "[ -~é]{1,20}",
        which in 0..5_usize,
    ) {
        let algorithm = [Algorithm::Sha224, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512, Algorithm::Blake2b][which];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name.replace('/', "_"));
        prop_assume!(fs::write(&path, &content).is_ok());
        let question = Question { algorithm, before, after };
        let said = said_hash(&question.command(path.to_str().unwrap()));
        prop_assert_eq!(said.trim_start_matches('\\'), hex::encode(question.answer(&content)));
    }

    /// Nothing that is read makes it fall over.
    #[test]
    fn what_is_broken_is_refused(key in prop::collection::vec(any::<u8>(), 0..200), signature in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = claim(&key, &signature, PLAIN);
    }
}
