//! Signatures, and what is made of a bucket's answers.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::fixture::World;

fn read(text: &str, name: &str) -> Result<Bucket> {
    Bucket::read(&Setting(text.to_owned()), name)
}

/// The example "GET Bucket Lifecycle" of "Signature Calculations for the Authorization Header".
#[test]
fn a_request_is_signed_as_in_the_reference() {
    let text = "S3Endpoint=https://s3.amazonaws.com;AccessKeyId=AKIAIOSFODNN7EXAMPLE;\
                SecretAccessKey=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let bucket = read(text, "examplebucket").unwrap();
    let host = "examplebucket.s3.amazonaws.com";
    let request = Request { method: "GET", host, path: "/", query: "lifecycle=" };
    let now = Timestamp::parse("2013-05-24T00:00:00Z").unwrap();
    let nothing = hex(digest::digest(&digest::SHA256, b"").as_ref());
    let signed = bucket.signed(&request, now, &nothing);
    assert!(
        signed.ends_with("Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        "{signed}"
    );
}

#[test]
fn a_connection_string_is_whole_or_refused_without_its_secret() {
    let whole = "S3Endpoint=http://127.0.0.1:9000;AccessKeyId=k;SecretAccessKey=hush;Region=eu";
    assert_eq!(read(whole, "telemetry").unwrap().region, "eu");
    for (text, name) in [
        ("S3Endpoint=http://127.0.0.1:9000;AccessKeyId=k", "telemetry"),
        ("S3Endpoint=ftp://host;AccessKeyId=k;SecretAccessKey=hush", "telemetry"),
        ("S3Endpoint=https://host/path;AccessKeyId=k;SecretAccessKey=hush", "telemetry"),
        (whole, "Telemetry"),
        (whole, "../x"),
    ] {
        let error = read(text, name).unwrap_err();
        assert!(!error.message.contains("hush"), "{}", error.message);
    }
}

/// A bucket on a free port. It notes the first line of each request, and answers as it is told to.
struct Served {
    bucket: Bucket,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Served {
    async fn new(answers: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                let (mut head, mut length) = (None, 0);
                while head.is_none_or(|head: usize| request.len() < head + length) {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the request broke off");
                    if head.is_none()
                        && let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n")
                    {
                        head = Some(end + 4);
                        let text = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
                        let said = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                        length = said.map_or(0, |said| said.trim().parse().unwrap());
                    }
                }
                let line = String::from_utf8_lossy(&request).lines().next().unwrap().replace(" HTTP/1.1", "");
                let body = answers(&line);
                noted.lock().push(line);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\netag: \"tag\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let text = format!("S3Endpoint=http://{address};AccessKeyId=k;SecretAccessKey=hush");
        let bucket = read(&text, "telemetry").unwrap();
        Self { bucket, asked, _serving: AbortOnDropHandle::new(serving) }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// "CompleteMultipartUpload": the status 200 is sent before it is known how it ends, and the body may be an error.
#[tokio::test]
async fn parts_are_an_object_when_the_bucket_says_so() {
    let world = World::new().await;
    let context = &world.services.context;
    for (said, is_there) in [
        ("<Error><Code>InternalError</Code></Error>", false),
        ("", false),
        ("<CompleteMultipartUploadResult><Key>a</Key></CompleteMultipartUploadResult>", true),
    ] {
        let served = Served::new(move |line| match line {
            "POST /telemetry/a?uploads=" => {
                "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
                    .to_owned()
            }
            "POST /telemetry/a?uploadId=u1" => said.to_owned(),
            _ => String::new(),
        })
        .await;
        let mut object = served.bucket.begin(context, "a", "text/plain");
        object.write(vec![b'x'; PART + 1].into()).await.unwrap();
        assert_eq!(object.finish().await.is_ok(), is_there, "{said}");
        let mut expected = vec![
            "POST /telemetry/a?uploads=",
            "PUT /telemetry/a?partNumber=1&uploadId=u1",
            "PUT /telemetry/a?partNumber=2&uploadId=u1",
            "POST /telemetry/a?uploadId=u1",
        ];
        // What cannot be finished takes no room.
        expected.extend((!is_there).then_some("DELETE /telemetry/a?uploadId=u1"));
        assert_eq!(served.asked(), expected);
    }
}

#[tokio::test]
async fn what_a_crash_left_in_parts_is_removed() {
    let world = World::new().await;
    let context = &world.services.context;
    let upload = |key: &str, id: &str, hour: u32| {
        format!(
            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Owner><ID>o</ID></Owner><Initiated>2026-01-02T{hour:02}:00:00.000Z</Initiated></Upload>"
        )
    };
    let first = format!(
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>hub1/b&amp;c</NextKeyMarker>\
         <NextUploadIdMarker>u3</NextUploadIdMarker>{}{}{}</ListMultipartUploadsResult>",
        upload("hub1/ours", "u1", 3),
        upload("hub1/ours", "u2", 5),
        upload("hub1/b&amp;c", "u3", 3)
    );
    let second = format!(
        "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{}</ListMultipartUploadsResult>",
        upload("hub1/ours", "u4", 4)
    );
    let served = Served::new(move |line| match line {
        "GET /telemetry?max-uploads=200&prefix=hub1%2F&uploads=" => first.clone(),
        line if line.starts_with("GET ") => second.clone(),
        _ => String::new(),
    })
    .await;
    let before = Timestamp::parse("2026-01-02T04:30:00Z").unwrap();
    served.bucket.abandon_left(context, "hub1/", before, |key| key == "hub1/ours").await.unwrap();
    let expected = [
        "GET /telemetry?max-uploads=200&prefix=hub1%2F&uploads=",
        "DELETE /telemetry/hub1/ours?uploadId=u1",
        "GET /telemetry?key-marker=hub1%2Fb%26c&max-uploads=200&prefix=hub1%2F&upload-id-marker=u3&uploads=",
        "DELETE /telemetry/hub1/ours?uploadId=u4",
    ];
    assert_eq!(served.asked(), expected);
}
