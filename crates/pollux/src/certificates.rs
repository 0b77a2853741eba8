//! Certificates of authorities, and the proof that one has their keys: what `certificate` of a DPS and a hub share.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_client::Rest;
use serde_json::{Value, json};

use crate::input::{self, segment};
use crate::output::Column;
use crate::policies::{Holder, Target};
use crate::resources::{path, values};
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("name", "/name"),
    ("verified", "/isVerified"),
    ("subject", "/subject"),
    ("expiry", "/expiry"),
    ("thumbprint", "/thumbprint"),
];

/// Certificates of authorities, which count once they are verified
#[derive(Debug, Subcommand)]
pub(crate) enum Command<T: Target> {
    /// Add a certificate, or replace one
    Create(Create<T>),
    /// List them
    List(T),
    /// Show one
    Show(Named<T>),
    /// Delete one: it vouches for nobody from then on
    Delete(Named<T>),
    /// Make up the code that a certificate must bear which proves possession
    GenerateVerificationCode(Named<T>),
    /// Prove possession with a certificate that bears the code
    Verify(Verify<T>),
}

/// Add a certificate
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux dps certificate create --certificate-name factory --path root.pem --verified
  pollux dps certificate create --certificate-name factory --path root.pem
  pollux dps certificate generate-verification-code --certificate-name factory
  openssl req -new -newkey rsa:2048 -nodes -keyout proof.key -subj /CN=CODE -out proof.csr
  openssl x509 -req -in proof.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1 -out proof.pem
  pollux dps certificate verify --certificate-name factory --path proof.pem")]
pub(crate) struct Create<T: Target> {
    /// The certificate's file, PEM or DER
    #[arg(long, short = 'p', visible_alias = "certificate-path")]
    path: PathBuf,
    /// You know whose it is: no proof is asked for
    #[arg(long)]
    verified: bool,
    #[command(flatten)]
    named: Named<T>,
}

/// Prove possession
#[derive(Debug, Args)]
pub(crate) struct Verify<T: Target> {
    /// The file of a certificate that is signed by the authority and whose subject's common name is the code
    #[arg(long, short = 'p', visible_alias = "certificate-path")]
    path: PathBuf,
    #[command(flatten)]
    named: Named<T>,
}

/// Which certificate.
#[derive(Debug, Args)]
pub(crate) struct Named<T: Target> {
    /// The certificate's name
    #[arg(long, visible_aliases = ["cn", "name"])]
    certificate_name: String,
    /// Only if it still is of this etag
    #[arg(long, visible_alias = "etag")]
    if_match: Option<String>,
    #[command(flatten)]
    target: T,
}

/// Runs a command of this group.
pub(crate) async fn run<T: Target>(session: &Session, command: Command<T>) -> Result<()> {
    match command {
        Command::Create(args) => {
            let body = json!({ "certificate": input::certificate(&args.path)?, "isVerified": args.verified });
            let (admin, address) = args.named.place(session)?;
            let sent = args.named.guarded(admin.put(&address)).json(body).send().await;
            let made = sent
                .with_context(|| format!("cannot add the certificate '{}'", args.named.certificate_name))?;
            session.output.document(&made.body)
        }
        Command::List(target) => {
            let found = session.admin()?.get(&all(session, &target)?).send().await;
            session.output.rows(values(found.context("cannot list the certificates")?), COLUMNS)
        }
        Command::Show(named) => {
            let (admin, address) = named.place(session)?;
            let found = admin.get(&address).send().await;
            let found =
                found.with_context(|| format!("cannot show the certificate '{}'", named.certificate_name))?;
            session.output.document(&found.body)
        }
        Command::Delete(named) => {
            let (admin, address) = named.place(session)?;
            let gone = named.guarded(admin.delete(&address)).send().await;
            gone.with_context(|| format!("cannot delete the certificate '{}'", named.certificate_name))?;
            session.output.note(&format!("deleted the certificate '{}'", named.certificate_name))
        }
        Command::GenerateVerificationCode(named) => {
            let made = named.post(session, "verification-code", json!({})).await;
            session.output.document(&made.context("no verification code was made")?)
        }
        Command::Verify(args) => {
            let body = json!({ "certificate": input::certificate(&args.path)? });
            let verified = args.named.post(session, "verify", body).await;
            session.output.document(&verified.context("possession is not proved")?)
        }
    }
}

fn all<T: Target>(session: &Session, target: &T) -> Result<String> {
    let Holder { kind, name, .. } = target.holder(session)?;
    Ok(format!("{}/certificates", path(kind, &name)))
}

impl<T: Target> Named<T> {
    fn place(&self, session: &Session) -> Result<(Rest, String)> {
        let address = format!("{}/{}", all(session, &self.target)?, segment(&self.certificate_name));
        Ok((session.admin()?, address))
    }

    fn guarded<'r>(&self, request: pollux_client::rest::Request<'r>) -> pollux_client::rest::Request<'r> {
        match &self.if_match {
            Some(etag) => request.if_match(etag),
            None => request,
        }
    }

    async fn post(&self, session: &Session, deed: &str, body: Value) -> Result<Value> {
        let (admin, address) = self.place(session)?;
        Ok(self.guarded(admin.post(&format!("{address}/{deed}"))).json(body).send().await?.body)
    }
}
