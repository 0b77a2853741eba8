//! The authority with which a provisioning service makes certificates of devices' requests, over the admin API. Its key goes in
//! and never out.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use pollux_model::enrollment::Der;
use pollux_model::resource::{CertificateIssuer, PrivateKey};
use pollux_model::{Error, Result};
use pollux_services::Caller;
use pollux_services::provisioning::contract;
use pollux_services::resources::CertificateIssuerInput;
use serde::Deserialize;
use serde_json::{Value, json};

use super::resources::named;
use super::{Admin, answer, nothing};
use crate::http::body;

/// Days that an issued certificate holds when nothing is said.
const DAYS: u32 = 90;

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/admin/resources/dps/{name}/issuer", get(show).put(put).delete(delete))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    /// PEM: its own first, then those above it that devices are given along.
    certificate: String,
    /// PEM.
    key: String,
    #[serde(default = "days")]
    days: u32,
}

const fn days() -> u32 {
    DAYS
}

async fn show(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = || admin.services.resources.certificate_issuer(&caller, &named(&name)?);
    answer(found().map(|issuer| view(&issuer)))
}

async fn put(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    sent: Body,
) -> Response {
    let made = async {
        let dps = named(&name)?;
        let Said { certificate, key, days } =
            body::json(sent, admin.services.context.limits.request_body).await?;
        let key = pollux_x509::private_key(&key).map_err(|error| Error::invalid(error.to_string()))?;
        let input = CertificateIssuerInput { chain: certificate, key: PrivateKey::new(key), days };
        admin.services.resources.put_certificate_issuer(&caller, &dps, input).await
    };
    let made: Result<CertificateIssuer> = made.await;
    answer(made.map(|issuer| view(&issuer)))
}

async fn delete(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let gone = async { admin.services.resources.delete_certificate_issuer(&caller, &named(&name)?).await };
    nothing(gone.await)
}

fn view(issuer: &CertificateIssuer) -> Value {
    let own = issuer.chain.first().map(|Der(der)| contract::certificate_information(der));
    let pem: String = issuer.chain.iter().map(|Der(der)| pollux_x509::pem(der)).collect();
    json!({
        "info": own,
        "certificate": pem,
        "days": issuer.days,
        "lastUpdatedDateTimeUtc": issuer.updated,
    })
}

#[cfg(test)]
mod tests;
