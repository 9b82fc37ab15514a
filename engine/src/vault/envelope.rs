//! The text form: a header line, and salt, authentication code and ciphertext in hexadecimal.

/// What every such text begins with.
const MAGIC: &str = "$ANSIBLE_VAULT";
/// The only cipher.
const CIPHER: &str = "AES256";
/// Characters in a line of the body.
const WIDTH: usize = 80;
/// Bytes of the authentication code.
pub(super) const HMAC: usize = 32;
/// Bytes of a block: the ciphertext is padded to whole ones.
pub(super) const BLOCK: usize = 16;

/// Is this a vault? Looks at the beginning only.
#[must_use]
pub fn is_vault(bytes: &[u8]) -> bool {
    bytes
        .strip_prefix(MAGIC.as_bytes())
        .is_some_and(|rest| rest.first() == Some(&b';'))
}

/// A vault, taken apart; nothing of it is decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The label of the password that it was made with, which only format 1.2 has.
    pub id: Option<String>,
    /// What the key was made of beside the password; 32 random bytes, unless somebody chose it.
    pub(super) salt: Vec<u8>,
    /// HMAC-SHA256 of the ciphertext.
    pub(super) hmac: [u8; HMAC],
    /// AES-256-CTR of the padded text.
    pub(super) ciphertext: Vec<u8>,
}

/// Why a text is not a whole vault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It does not begin as one.
    #[error("it does not begin with `$ANSIBLE_VAULT;`")]
    Header,
    /// A format that is not read.
    #[error("it is in the format `{0}`, and 1.1 and 1.2 are read")]
    Version(String),
    /// A cipher that is not read.
    #[error("its cipher is `{0}`, and only AES256 is read")]
    Cipher(String),
    /// A line of the body is not hexadecimal.
    #[error("it is damaged: its line {0} is not hexadecimal")]
    Line(usize),
    /// Parts are missing or have a wrong length.
    #[error("it is damaged: its end or a part of it is missing")]
    Short,
}

impl Malformed {
    /// What to do.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Header => "`runbook vault encrypt` makes one of a file",
            Self::Version(_) | Self::Cipher(_) => {
                "encrypt it again: `ansible-vault rekey` writes the format that is read"
            }
            Self::Line(_) | Self::Short => {
                "take it from where it was made once more; a vault cannot be mended"
            }
        }
    }
}

impl Envelope {
    /// From the text. Spaces around lines and how lines end do not matter.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut lines = text.lines().map(str::trim);
        let mut header = lines.next().unwrap_or_default().split(';').map(str::trim);
        if header.next() != Some(MAGIC) {
            return Err(Malformed::Header);
        }
        let version = header.next().ok_or(Malformed::Header)?;
        let cipher = header.next().unwrap_or_default();
        let id = match version {
            "1.1" => None,
            "1.2" => header.next().map(str::to_owned).filter(|id| !id.is_empty()),
            other => return Err(Malformed::Version(other.to_owned())),
        };
        if cipher != CIPHER {
            return Err(Malformed::Cipher(cipher.to_owned()));
        }
        let mut body = String::new();
        for (at, line) in lines.enumerate() {
            if !line.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(Malformed::Line(at + 2));
            }
            body.push_str(line);
        }
        let outer = hex::decode(body).map_err(|_| Malformed::Short)?;
        let mut parts = outer.split(|b| *b == b'\n').map(hex::decode);
        let mut part = || parts.next().and_then(Result::ok).ok_or(Malformed::Short);
        let (salt, hmac, ciphertext) = (part()?, part()?, part()?);
        let hmac = <[u8; HMAC]>::try_from(hmac).map_err(|_| Malformed::Short)?;
        let whole = !ciphertext.is_empty() && ciphertext.len().is_multiple_of(BLOCK);
        if salt.is_empty() || !whole || parts.next().is_some() {
            return Err(Malformed::Short);
        }
        Ok(Self {
            id,
            salt,
            hmac,
            ciphertext,
        })
    }

    /// The text, with a line end behind its last line. Without an id it is format 1.1, which is what Ansible writes
    /// for the id `default`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = match &self.id {
            None => format!("{MAGIC};1.1;{CIPHER}\n"),
            Some(id) => format!("{MAGIC};1.2;{CIPHER};{id}\n"),
        };
        let inner = [
            hex::encode(&self.salt),
            hex::encode(self.hmac),
            hex::encode(&self.ciphertext),
        ];
        let body = hex::encode(inner.join("\n"));
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(WIDTH));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text
    }
}
