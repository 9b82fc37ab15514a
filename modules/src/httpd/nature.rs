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

const NAME: [&str; 71] = [
    "AcceptFilter",
    "AccessFileName",
    "AddDefaultCharset",
    "AllowOverride",
    "AuthBasicProvider",
    "AuthName",
    "AuthType",
    "AuthUserFile",
    "DefaultType",
    "DirectoryIndex",
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
    "LimitRequestFieldSize",
    "LimitRequestFields",
    "LimitRequestLine",
    "ListenBacklog",
    "LogLevel",
    "MaxClients",
    "MaxConnectionsPerChild",
    "MaxKeepAliveRequests",
    "MaxRangeRequests",
    "MaxRequestWorkers",
    "MaxRequestsPerChild",
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
    "SSLCertificateChainFile",
    "SSLCipherSuite",
    "SSLCompression",
    "SSLEngine",
    "SSLHonorCipherOrder",
    "SSLProtocol",
    "SSLProxyEngine",
    "SSLSessionCache",
    "SSLSessionCacheTimeout",
    "StartServers",
    "ThreadLimit",
    "ThreadsPerChild",
    "TimeOut",
    "TraceEnable",
    "TypesConfig",
    "User",
];
const FIRST: [&str; 15] = [
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
    "Redirect",
    "ScriptAlias",
    "SetEnv",
    "Substitute",
    "TransferLog",
];
const ALL: [&str; 22] = [
    "AddOutputFilterByType",
    "Allow",
    "BrowserMatch",
    "BrowserMatchNoCase",
    "Deny",
    "Header",
    "Include",
    "IncludeOptional",
    "Listen",
    "LoadFile",
    "LogFormat",
    "NameVirtualHost",
    "PassEnv",
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
