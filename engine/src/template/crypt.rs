//! Password hashes of crypt(3): SHA-256 (`$5$`) and SHA-512 (`$6$`), as Ulrich Drepper specified them ("Unix crypt
//! using SHA-256 and SHA-512", 2007). Used only with a given salt.

use sha2::{Digest, Sha256, Sha512};

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Rounds where none are asked for; then they are not written into the hash.
const USUAL_ROUNDS: u32 = 5000;

/// Hashes a password. `rounds` between 1000 and 999999999, here at most a million.
pub(super) fn hash(
    password: &str,
    scheme: &str,
    salt: &str,
    rounds: Option<u32>,
) -> Result<String, String> {
    if !salt.bytes().all(|b| ALPHABET.contains(&b)) || salt.is_empty() || salt.len() > 16 {
        return Err("a salt has 1 to 16 characters of A-Z a-z 0-9 . /".to_owned());
    }
    if rounds.is_some_and(|r| !(1000..=1_000_000).contains(&r)) {
        return Err("rounds lie between 1000 and 1000000".to_owned());
    }
    let (mark, digest) = match scheme {
        "sha256" | "sha256_crypt" => ("5", sha256(password.as_bytes(), salt.as_bytes(), rounds)),
        "sha512" | "sha512_crypt" => ("6", sha512(password.as_bytes(), salt.as_bytes(), rounds)),
        other => {
            return Err(format!(
                "there is no password hash `{other}`; there are sha256 and sha512"
            ));
        }
    };
    let rounds = rounds
        .filter(|r| *r != USUAL_ROUNDS)
        .map_or_else(String::new, |r| format!("rounds={r}$"));
    Ok(format!("${mark}${rounds}{salt}${digest}"))
}

/// The steps that both have in common; the numbers are those of the specification.
fn stretched<D: Digest>(password: &[u8], salt: &[u8], rounds: Option<u32>) -> Vec<u8> {
    let digest = |parts: &[&[u8]]| -> Vec<u8> {
        let mut hash = D::new();
        parts.iter().for_each(|p| hash.update(p));
        hash.finalize().to_vec()
    };
    let repeated = |bytes: &[u8], length: usize| -> Vec<u8> {
        bytes.iter().copied().cycle().take(length).collect()
    };
    let b = digest(&[password, salt, password]);
    let mut a = D::new();
    a.update(password);
    a.update(salt);
    a.update(repeated(&b, password.len()));
    let mut length = password.len();
    while length > 0 {
        if length & 1 == 1 {
            a.update(&b);
        } else {
            a.update(password);
        }
        length >>= 1;
    }
    let mut state = a.finalize().to_vec();

    let mut dp = D::new();
    password.iter().for_each(|_| dp.update(password));
    let p = repeated(&dp.finalize(), password.len());
    let mut ds = D::new();
    let times = 16 + usize::from(state.first().copied().unwrap_or(0));
    (0..times).for_each(|_| ds.update(salt));
    let s = repeated(&ds.finalize(), salt.len());

    for round in 0..rounds.unwrap_or(USUAL_ROUNDS) {
        let odd = round % 2 == 1;
        let mut c = D::new();
        c.update(if odd { &p } else { &state });
        if round % 3 != 0 {
            c.update(&s);
        }
        if round % 7 != 0 {
            c.update(&p);
        }
        c.update(if odd { &state } else { &p });
        state = c.finalize().to_vec();
    }
    state
}

fn written(state: &[u8], order: impl Iterator<Item = [Option<usize>; 3]>) -> String {
    let mut out = String::new();
    for group in order {
        let byte =
            |at: Option<usize>| u32::from(at.and_then(|i| state.get(i).copied()).unwrap_or(0));
        let mut bits = byte(group[0]) << 16 | byte(group[1]) << 8 | byte(group[2]);
        let letters = 1 + group.iter().flatten().count();
        for _ in 0..letters {
            out.push(char::from(ALPHABET[(bits & 0x3f) as usize]));
            bits >>= 6;
        }
    }
    out
}

fn sha256(password: &[u8], salt: &[u8], rounds: Option<u32>) -> String {
    let state = stretched::<Sha256>(password, salt, rounds);
    let groups = (0..10).map(|n| {
        let (a, b, c) = (n, n + 10, n + 20);
        Some(match n % 3 {
            0 => [Some(a), Some(b), Some(c)],
            1 => [Some(c), Some(a), Some(b)],
            _ => [Some(b), Some(c), Some(a)],
        })
    });
    written(&state, groups.flatten().chain([[None, Some(31), Some(30)]]))
}

fn sha512(password: &[u8], salt: &[u8], rounds: Option<u32>) -> String {
    let state = stretched::<Sha512>(password, salt, rounds);
    let groups = (0..21).map(|n| {
        let (a, b, c) = (n, n + 21, n + 42);
        match n % 3 {
            0 => [Some(a), Some(b), Some(c)],
            1 => [Some(b), Some(c), Some(a)],
            _ => [Some(c), Some(a), Some(b)],
        }
    });
    written(&state, groups.chain([[None, None, Some(63)]]))
}

#[cfg(test)]
mod tests {
    use super::hash;

    /// The results are those of `openssl passwd -5` and `-6`.
    #[test]
    fn as_openssl() {
        for (scheme, salt, password, expected) in [
            (
                "sha256",
                "saltstring",
                "Hello world!",
                "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            ),
            (
                "sha512",
                "saltstring",
                "Hello world!",
                "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            ),
            (
                "sha256",
                "ab",
                "a very much longer text to encrypt.  This one even stretches over morethan one line.",
                "$5$ab$WGqxmw1W.4gq3aMWiCmp/a9.zUeEhKLWymVuxeTgSMC",
            ),
            (
                "sha512",
                "ab",
                "a very much longer text to encrypt.  This one even stretches over morethan one line.",
                "$6$ab$ey1CbRuO0fE8pwDH3P1TcOrU0SwF.k1bCozLhKs9Bz5FiKo.6.ZBT.hPccQxA2/UATQinF80WYBRdOcldcluV.",
            ),
        ] {
            assert_eq!(hash(password, scheme, salt, None).unwrap(), expected);
        }
        assert!(hash("x", "sha512", "a:b", None).is_err());
        assert!(hash("x", "md5", "ab", None).is_err());
        assert!(hash("x", "sha512", "ab", Some(10)).is_err());
    }
}
