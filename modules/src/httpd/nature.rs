//! What directives of one name are to each other: whether the last one counts, or all do.
//!
//! Source: the directives' pages in the Apache HTTP Server's documentation, versions 2.2 and 2.4.

use schemars::JsonSchema;
use serde::Deserialize;

/// What tells a directive from others of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Nothing: of those in one place the last one counts.
    Name,
    /// Its first word: of those with the same one the last one counts.
    First,
    /// All of its words: they count side by side.
    All,
    /// Each extension behind its first word: of those that name one, the last one counts for it.
    Extension,
}

const NAME: [&str; 74] = [
    "AccessFileName",
    "AddDefaultCharset",
    "AllowOverride",
    "AuthBasicProvider",
    "AuthName",
    "AuthType",
    "AuthUserFile",
    "DefaultType",
    "DirectorySlash",
    "DocumentRoot",
    "EnableMMAP",
    "EnableSendfile",
    "ErrorLog",
    "ErrorLogFormat",
    "ExpiresActive",
    "ExpiresDefault",
    "ExtendedStatus",
    "FileETag",
    "Group",
    "HostnameLookups",
    "KeepAlive",
    "KeepAliveTimeout",
    "LimitRequestBody",
    "LimitRequestFields",
    "LimitRequestFieldSize",
    "LimitRequestLine",
    "ListenBacklog",
    "LogLevel",
    "MaxClients",
    "MaxConnectionsPerChild",
    "MaxKeepAliveRequests",
    "MaxRangeRequests",
    "MaxRequestsPerChild",
    "MaxRequestWorkers",
    "MaxSpareServers",
    "MaxSpareThreads",
    "MinSpareServers",
    "MinSpareThreads",
    "Options",
    "PHPIniDir",
    "PidFile",
    "ProxyPreserveHost",
    "ProxyRequests",
    "ProxyTimeout",
    "RewriteEngine",
    "ScoreBoardFile",
    "ServerAdmin",
    "ServerLimit",
    "ServerName",
    "ServerRoot",
    "ServerSignature",
    "ServerTokens",
    "SetHandler",
    "SSLCACertificateFile",
    "SSLCertificateChainFile",
    "SSLCertificateFile",
    "SSLCertificateKeyFile",
    "SSLCipherSuite",
    "SSLCompression",
    "SSLEngine",
    "SSLHonorCipherOrder",
    "SSLProtocol",
    "SSLProxyEngine",
    "SSLSessionCache",
    "SSLSessionCacheTimeout",
    "SSLVerifyClient",
    "SSLVerifyDepth",
    "StartServers",
    "ThreadLimit",
    "ThreadsPerChild",
    "TimeOut",
    "TraceEnable",
    "TypesConfig",
    "User",
];
const FIRST: [&str; 15] = [
    "AcceptFilter",
    "CustomLog",
    "Define",
    "ErrorDocument",
    "ExpiresByType",
    "php_admin_flag",
    "php_admin_value",
    "php_flag",
    "php_value",
    "ProxyPass",
    "ProxyPassReverse",
    "ScriptAlias",
    "SetEnv",
    "Substitute",
    "TransferLog",
];
const ALL: [&str; 24] = [
    "AddOutputFilterByType",
    "Allow",
    "BrowserMatch",
    "BrowserMatchNoCase",
    "Deny",
    "DirectoryIndex",
    "Header",
    "Include",
    "IncludeOptional",
    "Listen",
    "LoadFile",
    "LogFormat",
    "NameVirtualHost",
    "PassEnv",
    "Redirect",
    "RedirectMatch",
    "RequestHeader",
    "Require",
    "RewriteCond",
    "RewriteRule",
    "ServerAlias",
    "SetEnvIf",
    "SetEnvIfNoCase",
    "UnsetEnv",
];
const EXTENSION: [&str; 7] = [
    "AddCharset",
    "AddEncoding",
    "AddHandler",
    "AddInputFilter",
    "AddLanguage",
    "AddOutputFilter",
    "AddType",
];

/// Of these several may count side by side (a certificate for each sort of key), though there mostly is one.
const SEVERAL: [&str; 2] = ["SSLCertificateFile", "SSLCertificateKeyFile"];

/// May several of the directive count side by side, though it is known by its name?
#[must_use]
pub fn may_be_several(name: &str) -> bool {
    SEVERAL.iter().any(|n| n.eq_ignore_ascii_case(name))
}

impl By {
    /// What is known of a directive.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let is_in = |list: &[&str]| list.iter().any(|n| n.eq_ignore_ascii_case(name));
        [
            (&NAME[..], Self::Name),
            (&FIRST, Self::First),
            (&ALL, Self::All),
            (&EXTENSION, Self::Extension),
        ]
        .into_iter()
        .find_map(|(list, by)| is_in(list).then_some(by))
    }
}
