//! Which extension a line `extension = …` names.

/// `extension` or `zend_extension`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Of PHP.
    Php,
    /// Of its engine: opcache, xdebug.
    Zend,
}

impl Sort {
    /// The name of the setting; PHP takes it in any case.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::Php => "extension",
            Self::Zend => "zend_extension",
        }
    }

    /// Is this its name?
    #[must_use]
    pub fn is(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.setting().as_bytes())
    }
}

/// The extension that a value names: `X`, `X.so`, `php_X.dll`, `phpX.Y_X.dll` and `/somewhere/X.so` are one.
#[must_use]
pub fn named(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let file = value.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let stem = file
        .strip_suffix(".so")
        .or_else(|| file.strip_suffix(".dll"))
        .unwrap_or(file);
    let of_version = stem.strip_prefix("php").and_then(|rest| {
        let (version, name) = rest.split_once('_')?;
        let is_version = version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (is_version && !name.is_empty()).then_some(name)
    });
    of_version.unwrap_or(stem).to_owned()
}

/// Extensions that have to be loaded before this one, where they are files of their own (PHP's own php.ini, and the
/// numbers that Debian gives its files).
#[must_use]
pub fn before(name: &str) -> &'static [&'static str] {
    match name {
        "exif" => &["mbstring"],
        "mysqli" => &["mysqlnd"],
        "pdo_mysql" => &["mysqlnd", "pdo"],
        "xmlreader" | "xsl" => &["dom"],
        "phar" => &["hash"],
        "soap" | "wddx" | "xmlrpc" => &["xml"],
        name if name.starts_with("pdo_") => &["pdo"],
        _ => &[],
    }
}

/// The form of a value, which says where and from which version on PHP finds the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `X`, from PHP 7.2 on.
    Bare,
    /// `X.so`, or a path.
    Unix,
    /// `php_X.dll`.
    Windows,
}

/// The form of this value.
#[must_use]
pub fn form(value: &[u8]) -> Form {
    let value = value.to_ascii_lowercase();
    if value.ends_with(b".dll") {
        Form::Windows
    } else if value.ends_with(b".so") || value.contains(&b'/') {
        Form::Unix
    } else {
        Form::Bare
    }
}

/// A name in this form.
#[must_use]
pub fn in_form(name: &str, form: Form) -> String {
    match form {
        Form::Bare => name.to_owned(),
        Form::Unix => format!("{name}.so"),
        Form::Windows => format!("php_{name}.dll"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_extension_under_many_names() {
        for value in [
            "imagick",
            "imagick.so",
            "php_imagick.dll",
            "PHP_Imagick.DLL",
            "php8.2_imagick.dll",
            "/usr/lib/php/20220829/imagick.so",
            "C:\\php\\ext\\php_imagick.dll",
        ] {
            assert_eq!(named(value.as_bytes()), "imagick", "{value}");
        }
        assert_eq!(named(b"php_"), "php_");
        assert_eq!(named(b"pdo_mysql.so"), "pdo_mysql");
        assert_eq!(named(b"phpdbg_webhelper"), "phpdbg_webhelper");
    }

    #[test]
    fn forms() {
        for (value, is) in [
            ("mysqli", Form::Bare),
            ("mysqli.so", Form::Unix),
            ("/opt/mysqli", Form::Unix),
            ("php_mysqli.dll", Form::Windows),
        ] {
            assert_eq!(form(value.as_bytes()), is, "{value}");
        }
        for form_of in [Form::Bare, Form::Unix, Form::Windows] {
            assert_eq!(form(in_form("gd", form_of).as_bytes()), form_of);
        }
    }
}
