//! Pollux with the graph in it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::campus::{Campus, THERMOSTAT};
use super::client::{Client, request};
use super::load::{self, Load};
use super::questions::Question;
use super::samples::{Sample, ask_for};
use crate::subject::{Subject, work_folder};

const VERSION: &str = "api-version=2023-10-31";
const JSON: &str = "application/json";
/// How often an import is asked for how far it came.
const LOOK: Duration = Duration::from_millis(20);

/// The server, and how it is asked.
pub(super) struct Server {
    subject: Subject,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    headers: String,
    turn: AtomicUsize,
}

impl Server {
    /// With the graph, and what it took.
    pub(super) async fn start(campus: &Campus) -> Result<(Self, Load)> {
        let folder = work_folder()?;
        // All models in one request; the graph from a file.
        let settings = format!(
            "\n[limits]\nmodels_per_request = 2000\n\n[jobs]\nfolder = \"{}\"\n",
            folder.path().display()
        );
        let subject = Subject::start(&settings)?;
        let (address, tls) = subject.https()?;
        let token = token(&subject, address, &tls).await.context("no token")?;
        let headers = format!("authorization: Bearer {token}\r\nmax-items-per-page: 1000\r\n");
        let server = Self { subject, address, tls, headers, turn: AtomicUsize::new(0) };
        let models = serde_json::to_string(&models()?)?;
        let upload = request("POST", &format!("/models?{VERSION}"), &server.headers, JSON, &models);
        server.client().await?.ask(&upload).await.context("the models")?;
        let input = folder.path().join("graph.ndjson");
        load::write(campus, &input)?;
        let import = async || server.import(&input).await;
        let load = Load::of(import, || server.subject.cpu().map(|cpu| cpu.nodes)).await?;
        Ok((server, load))
    }

    pub(super) async fn client(&self) -> Result<Client> {
        Client::connect(self.address, &self.tls).await
    }

    /// An import job, from when it is added until it has succeeded.
    async fn import(&self, input: &Path) -> Result<()> {
        let url = |path: &Path| format!("file://{}", path.display());
        let body = json!({ "inputBlobUri": url(input), "outputBlobUri": url(&input.with_extension("log")) });
        let path = format!("/jobs/imports/bench?{VERSION}");
        let mut client = self.client().await?;
        client.ask(&request("PUT", &path, &self.headers, JSON, &body.to_string())).await?;
        let look = request("GET", &path, &self.headers, JSON, "");
        loop {
            let job: Value = serde_json::from_slice(client.ask(&look).await?)?;
            match job["status"].as_str() {
                Some("succeeded") => return Ok(()),
                Some("failed") => bail!("the import failed: {job}"),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Asks each query until the graph is in memory, as it would be of a server that is in use.
    pub(super) async fn warm(&self, campus: &Campus) -> Result<()> {
        let mut client = self.client().await?;
        let explain = self.query("EXPLAIN SELECT COUNT() FROM DIGITALTWINS T WHERE T.$dtId = 'site'");
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60) {
            let answer: Value = serde_json::from_slice(client.ask(&explain).await?)?;
            if answer["value"][0]["source"] == "memory" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for question in [Question::Filter, Question::Join, Question::Match] {
            for turn in 0..3 {
                client.ask(&self.request(campus, question, turn)).await?;
            }
        }
        Ok(())
    }

    pub(super) fn query(&self, text: &str) -> Vec<u8> {
        let body = json!({ "query": text }).to_string();
        request("POST", &format!("/query?{VERSION}"), &self.headers, JSON, &body)
    }

    pub(super) fn patch(&self, id: &str, setpoint: f64) -> Vec<u8> {
        let body = json!([{ "op": "replace", "path": "/setpoint", "value": setpoint }]).to_string();
        let path = format!("/digitaltwins/{id}?{VERSION}");
        request("PATCH", &path, &self.headers, "application/json-patch+json", &body)
    }

    fn request(&self, campus: &Campus, question: Question, turn: usize) -> Vec<u8> {
        if let Some(text) = question.twins(campus, turn) {
            return self.query(&text);
        }
        let id = question.id(campus, turn).unwrap_or_default();
        if question == Question::Patch {
            return self.patch(&id, turn as f64);
        }
        request("GET", &format!("/digitaltwins/{id}?{VERSION}"), &self.headers, JSON, "")
    }

    /// As many answers as there is time for.
    pub(super) async fn ask(
        &self,
        campus: &Campus,
        question: Question,
        clients: usize,
        duration: Duration,
    ) -> Result<Sample> {
        let mut connections = try_join_all((0..clients).map(|_| self.client())).await?;
        let rows = self.rows(campus, question, &mut connections[0]).await?;
        let cpu = self.subject.cpu()?;
        let ask = async |client: &mut Client| {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            client.ask(&self.request(campus, question, turn)).await.map(drop)
        };
        let (took, seconds) = ask_for(duration, &mut connections, ask).await?;
        Ok(Sample::new(took, seconds, (self.subject.cpu()? - cpu).nodes, rows))
    }

    /// How many rows the first turn's answer has.
    async fn rows(&self, campus: &Campus, question: Question, client: &mut Client) -> Result<f64> {
        let answer = client.ask(&self.request(campus, question, 0)).await?;
        if question.twins(campus, 0).is_none() {
            return Ok(1.0);
        }
        let answer: Value = serde_json::from_slice(answer)?;
        if !answer["continuationToken"].is_null() {
            bail!("the answer has more than a page");
        }
        let rows = answer["value"].as_array().context("no rows")?;
        Ok(rows.first().and_then(|row| row["COUNT"].as_f64()).unwrap_or(rows.len() as f64))
    }
}

/// The models of RealEstateCore, and thermostats with a temperature.
fn models() -> Result<Vec<Value>> {
    let property =
        |name: &str| json!({ "@type": "Property", "name": name, "schema": "double", "writable": true });
    let mut models = vec![json!({
        "@context": "dtmi:dtdl:context;2", "@id": THERMOSTAT, "@type": "Interface",
        "extends": "dtmi:org:brickschema:schema:Brick:Thermostat;1",
        "contents": [property("temperature"), property("setpoint")],
    })];
    let folder = std::env::var_os("SHARED_DIR").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    collect(&folder.join("models/realestatecore"), &mut models)?;
    Ok(models)
}

fn collect(folder: &Path, models: &mut Vec<Value>) -> Result<()> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("no models in {} (set SHARED_DIR)", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, models)?;
        } else if path.extension().is_some_and(|ending| ending == "json") {
            models.push(serde_json::from_str(&fs::read_to_string(&path)?)?);
        }
    }
    Ok(())
}

/// A bearer token, as any client of the issuer gets it.
async fn token(subject: &Subject, address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<String> {
    let (path, form) = subject.token_request()?;
    let ask = request("POST", &path, "", "application/x-www-form-urlencoded", &form);
    let mut client = Client::connect(address, tls).await?;
    let answer: Value = serde_json::from_slice(client.ask(&ask).await?)?;
    Ok(answer["access_token"].as_str().context("no access_token")?.to_owned())
}
