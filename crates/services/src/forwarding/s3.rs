//! Buckets of S3 and of what speaks its API ("Amazon S3 API Reference"): an object is put whole, or in parts that become it when all
//! of them are there. Requests are signed with version 4 ("Authenticating Requests: Using the Authorization Header").

use std::fmt;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use bytes::{Bytes, BytesMut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pollux_model::resource::Setting;
use pollux_model::{Error, Result, Timestamp};
use reqwest::header::{ETAG, HOST};
use reqwest::{Method, Response};
use url::Url;

use crate::context::Context;

/// Bytes of a part: at least 5 MiB, and 10,000 of them at most ("Multipart upload limits"), which is more than a blob may have.
const PART: usize = 8 * 1024 * 1024;
/// How long a request with its body may take.
const WHOLE: Duration = Duration::from_secs(300);
/// The most of an answer that is read.
const ANSWER: usize = 64 * 1024;
/// The most of a page of a list, and how many uploads it has, whose keys have 1024 bytes at most.
const LIST: usize = 1024 * 1024;
const UPLOADS: &str = "200";
/// Pages of a list that are read at once; the rest is for the next time.
const PAGES: usize = 50;
const PLAIN_TEXT: &str = "text/plain";
/// What stays as it is in a path or query of what is signed.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What connection strings of S3 begin with.
pub(super) const PREFIX: &str = "S3Endpoint=";

/// A bucket, and what opens it.
pub(super) struct Bucket {
    endpoint: Url,
    region: String,
    key_id: String,
    secret: String,
    name: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Reads `S3Endpoint=https://…;AccessKeyId=…;SecretAccessKey=…[;Region=…]`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`](pollux_model::ErrorCode::InvalidArgument) says what is wrong, and shows no secret.
    pub(super) fn read(text: &Setting, name: &str) -> Result<Self> {
        let parts = || text.0.split(';').filter_map(|part| part.split_once('='));
        let part = |wanted: &str| {
            let found =
                parts().find(|(key, value)| key.trim().eq_ignore_ascii_case(wanted) && !value.is_empty());
            found.map(|(_, value)| value.trim().to_owned()).ok_or_else(|| {
                let form = "S3Endpoint=https://<host>;AccessKeyId=…;SecretAccessKey=…;Region=…";
                Error::invalid(format!(
                    "the connection string of the bucket lacks {wanted}; it must be {form}"
                ))
            })
        };
        let endpoint = Url::parse(&part("S3Endpoint")?)
            .ok()
            .filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host() && url.path() == "/")
            .ok_or_else(|| Error::invalid("S3Endpoint must be https://<host>, and no path"))?;
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        if !(3..=63).contains(&name.len()) || !name.bytes().all(good) || name.starts_with('.') {
            let shown = pollux_model::ids::shown(name);
            return Err(Error::invalid(format!(
                "'{shown}' is no name of a bucket: small letters, digits, '-' and '.'"
            )));
        }
        Ok(Self {
            endpoint,
            region: part("Region").unwrap_or_else(|_| "us-east-1".to_owned()),
            key_id: part("AccessKeyId")?,
            secret: part("SecretAccessKey")?,
            name: name.to_owned(),
        })
    }

    /// Begins an object; what is not finished is nowhere to be seen.
    pub(super) fn begin<'b>(
        &'b self,
        context: &'b Context,
        key: &str,
        content_type: &'static str,
    ) -> Object<'b> {
        Object {
            bucket: self,
            context,
            path: self.path(key),
            content_type,
            upload: None,
            parts: Vec::new(),
            pending: BytesMut::new(),
        }
    }
}

impl Bucket {
    /// Ends uploads in parts of objects whose keys begin so and are ours, if they were begun before a moment: a crash left them
    /// ("ListMultipartUploads", "AbortMultipartUpload").
    pub(super) async fn abandon_left(
        &self,
        context: &Context,
        prefix: &str,
        before: Timestamp,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let (mut key_marker, mut id_marker) = (String::new(), String::new());
        for _ in 0..PAGES {
            let mut query = vec![("key-marker", key_marker.as_str()), ("max-uploads", UPLOADS)];
            query.extend([("prefix", prefix), ("upload-id-marker", id_marker.as_str()), ("uploads", "")]);
            query.retain(|(name, value)| !value.is_empty() || *name == "uploads");
            let path = self.path("");
            let answer = self.ask(context, (Method::GET, &path, &query), (PLAIN_TEXT, Bytes::new())).await?;
            let text = text_of(answer, LIST).await;
            for upload in text.split("<Upload>").skip(1) {
                let part = |name: &str| element(upload, name).unwrap_or_default();
                let key = part("Key");
                let begun = Timestamp::parse(&part("Initiated"));
                if is_ours(&key) && begun.is_some_and(|begun| begun < before) {
                    let (path, id) = (self.path(&key), part("UploadId"));
                    let end = (Method::DELETE, path.as_str(), &[("uploadId", id.as_str())][..]);
                    self.ask(context, end, (PLAIN_TEXT, Bytes::new())).await?;
                }
            }
            if element(&text, "IsTruncated").as_deref() != Some("true") {
                return Ok(());
            }
            key_marker = element(&text, "NextKeyMarker").unwrap_or_default();
            id_marker = element(&text, "NextUploadIdMarker").unwrap_or_default();
        }
        Ok(())
    }
}

/// The text of the first element of a name.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, behind) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = behind.split_once(&format!("</{name}>"))?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    Some(plain.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain)))
}

/// An object that is being written.
pub(super) struct Object<'b> {
    bucket: &'b Bucket,
    context: &'b Context,
    path: String,
    content_type: &'static str,
    /// Of one in parts.
    upload: Option<String>,
    /// What the parts are known by.
    parts: Vec<String>,
    pending: BytesMut,
}

impl Object<'_> {
    /// Adds to it.
    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<(), String> {
        while self.pending.len() + bytes.len() > PART {
            let part = bytes.split_to(PART - self.pending.len());
            self.pending.extend_from_slice(&part);
            self.send_part().await?;
        }
        self.pending.extend_from_slice(&bytes);
        Ok(())
    }

    /// Gives it its name.
    pub(super) async fn finish(mut self) -> Result<(), String> {
        let done = self.complete().await;
        if done.is_err() {
            self.abandon().await;
        }
        done
    }

    async fn complete(&mut self) -> Result<(), String> {
        let Some(upload) = self.upload.clone() else {
            let body = self.pending.split().freeze();
            return self.ask(Method::PUT, &[], body).await.map(drop);
        };
        if !self.pending.is_empty() {
            self.send_part().await?;
        }
        let part = |(number, tag): (usize, &String)| {
            format!("<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>", number + 1)
        };
        let parts: String = self.parts.iter().enumerate().map(part).collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let answer = self.ask(Method::POST, &[("uploadId", &upload)], body.into()).await?;
        // The status comes before it is known how that ended.
        match text_of(answer, ANSWER).await {
            text if text.contains("<CompleteMultipartUploadResult") => Ok(()),
            _ => Err("the bucket does not say that it put the parts together".to_owned()),
        }
    }

    /// Removes the parts of one that cannot be finished: they take room that nobody sees.
    pub(super) async fn abandon(self) {
        if let Some(upload) = &self.upload
            && let Err(why) = self.ask(Method::DELETE, &[("uploadId", upload)], Bytes::new()).await
        {
            tracing::warn!(why, "parts of an object that was not finished stay in the bucket");
        }
    }

    async fn send_part(&mut self) -> Result<(), String> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let answer = self.ask(Method::POST, &[("uploads", "")], Bytes::new()).await?;
                let id = element(&text_of(answer, ANSWER).await, "UploadId");
                self.upload.insert(id.ok_or("the bucket begins no upload in parts")?).clone()
            }
        };
        let (body, number) = (self.pending.split().freeze(), (self.parts.len() + 1).to_string());
        let answer = self.ask(Method::PUT, &[("partNumber", &number), ("uploadId", &upload)], body).await?;
        let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        self.parts.push(tag.ok_or("the bucket does not say what a part is known by")?.replace('"', "&quot;"));
        Ok(())
    }

    async fn ask(&self, method: Method, query: &[(&str, &str)], body: Bytes) -> Result<Response, String> {
        self.bucket.ask(self.context, (method, &self.path, query), (self.content_type, body)).await
    }
}

impl Bucket {
    /// The path of an object, or of the bucket where the key is empty.
    fn path(&self, key: &str) -> String {
        let parts = key.split('/').filter(|_| !key.is_empty());
        let segments: Vec<String> = [self.name.as_str()].into_iter().chain(parts).map(encoded).collect();
        format!("/{}", segments.join("/"))
    }

    /// Asks for something, the query in the order of its names. Redirects are an answer like others; nothing of an answer's body is
    /// shown.
    async fn ask(
        &self,
        context: &Context,
        (method, path, query): (Method, &str, &[(&str, &str)]),
        (content_type, body): (&str, Bytes),
    ) -> Result<Response, String> {
        let bucket = self;
        let query: Vec<_> =
            query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let query = query.join("&");
        let mut url = bucket.endpoint.clone();
        url.set_path(path);
        url.set_query((!query.is_empty()).then_some(query.as_str()));
        let host = bucket.endpoint.port().map_or_else(
            || bucket.endpoint.host_str().unwrap_or_default().to_owned(),
            |port| format!("{}:{port}", bucket.endpoint.host_str().unwrap_or_default()),
        );
        let request = Request { method: method.as_str(), host: &host, path, query: &query };
        let (now, hash) = (context.clock.now(), hex(digest::digest(&digest::SHA256, &body).as_ref()));
        let asked = context.http.request(method.clone(), url);
        let asked = asked
            .header(HOST, &host)
            .header("x-amz-date", stamp(now))
            .header("x-amz-content-sha256", &hash)
            .header("authorization", bucket.signed(&request, now, &hash))
            .header("content-type", content_type)
            .timeout(WHOLE)
            .body(body);
        let answer = asked
            .send()
            .await
            .map_err(|error| format!("the bucket does not answer: {}", super::cause(error)))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(format!("the bucket '{}' answers {}", bucket.name, answer.status()))
    }
}

/// What is signed of a request, each part as it is sent.
struct Request<'r> {
    method: &'r str,
    host: &'r str,
    path: &'r str,
    /// In the order of names.
    query: &'r str,
}

impl Bucket {
    /// The `Authorization` of a request.
    fn signed(&self, request: &Request<'_>, now: Timestamp, hash: &str) -> String {
        const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";
        let Request { method, host, path, query } = request;
        let (stamp, region) = (stamp(now), &self.region);
        let day = &stamp[..8];
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{hash}\nx-amz-date:{stamp}\n\n{SIGNED}\n{hash}"
        );
        let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let scope = format!("{day}/{region}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{canonical}");
        let mut key = hmac_of(format!("AWS4{}", self.secret).as_bytes(), day.as_bytes());
        for part in [region.as_str(), "s3", "aws4_request"] {
            key = hmac_of(key.as_ref(), part.as_bytes());
        }
        let signature = hex(hmac_of(key.as_ref(), text.as_bytes()).as_ref());
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={SIGNED},Signature={signature}",
            self.key_id
        )
    }
}

fn hmac_of(key: &[u8], data: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `20130524T000000Z`.
fn stamp(now: Timestamp) -> String {
    let text = Timestamp::from_secs(now.as_secs()).to_string();
    text.replace(['-', ':'], "")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The beginning of an answer.
async fn text_of(mut answer: Response, most: usize) -> String {
    let mut text = Vec::new();
    while text.len() < most {
        match answer.chunk().await {
            Ok(Some(chunk)) => text.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests;
