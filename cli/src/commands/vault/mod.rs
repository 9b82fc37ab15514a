//! Ansible Vault: `runbook vault`, one file for each of its commands.

mod create;
mod decrypt;
mod edit;
mod editor;
mod encrypt;
mod encrypt_string;
mod file;
mod keys;
mod rekey;
mod scratch;
mod view;

use clap::Subcommand;

pub use encrypt_string::sealed;
pub use file::write;
pub use keys::to_encrypt;

/// Encrypt and decrypt files and strings in Ansible Vault's format, which ansible-vault reads and writes too.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a new file in your editor and encrypt it.
    Create(create::Args),
    /// Encrypt files in place, or from standard input to standard output.
    Encrypt(encrypt::Args),
    /// Decrypt files in place, or from standard input to standard output.
    Decrypt(decrypt::Args),
    /// Print files decrypted; they stay encrypted.
    View(view::Args),
    /// Edit an encrypted file; it is decrypted only for the editor.
    Edit(edit::Args),
    /// Encrypt files with another password.
    Rekey(rekey::Args),
    /// Encrypt strings, to be put into a file of variables.
    #[command(name = "encrypt_string", visible_alias = "encrypt-string")]
    EncryptString(encrypt_string::Args),
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    match args.command {
        Command::Create(args) => create::run(args).await,
        Command::Encrypt(args) => encrypt::run(&args),
        Command::Decrypt(args) => decrypt::run(&args),
        Command::View(args) => view::run(&args),
        Command::Edit(args) => edit::run(args).await,
        Command::Rekey(args) => rekey::run(&args),
        Command::EncryptString(args) => encrypt_string::run(&args),
    }
}
