//! A file that a command on the host makes and that never takes the place of another one: shell functions for backups.

/// `begin_file` makes the folder of `$final` and names `$part`, beside it, where the content is to be written; it ends with 91 where
/// that cannot be, with [`EXISTS`] where `$final` is there. `keep_file` gives `$part` its name once it is complete, on disk, and
/// ends with [`EXISTS`] where somebody was faster. What is left of `$part` is the caller's to remove.
pub const FUNCTIONS: &str = r#"
begin_file() {
  folder=${final%/*}
  part="$folder/.${final##*/}.part.$$"
  mkdir -p "${folder:-/}" || exit 91
  if [ -e "$final" ] || [ -L "$final" ]; then exit 93; fi
  free=$(df -Pk "${folder:-/}" | awk 'NR == 2 { print $4 }')
}
keep_file() {
  sync "$part" 2>/dev/null || sync
  ln "$part" "$final" 2>/dev/null || { [ ! -e "$final" ] && mv -n "$part" "$final"; }
  [ ! -e "$part" ] || [ "$part" -ef "$final" ] || exit 93
}
"#;

/// The status with which they end where the file is there already.
pub const EXISTS: i32 = 93;
