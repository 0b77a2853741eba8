//! Files: what devices ask for, URLs of the hub's own, notifications over HTTPS.

use serde_json::{Value, json};

use super::messages::Device;
use super::refused;
use crate::http::rest::fixture::Answer;

const FILES: &str = "/devices/d/files";

/// Begins an upload; the place, and the path of its URL.
async fn begin(device: &Device, name: &str) -> (Value, String) {
    let body = json!({ "blobName": name }).to_string();
    let place = device.call("POST", FILES, &[], &body).await.is(200).json();
    assert_eq!(place["hostName"], "localhost:8443");
    let part = |name: &str| place[name].as_str().unwrap().to_owned();
    let path = format!("/{}/{}{}", part("containerName"), part("blobName"), part("sasToken"));
    (place, path)
}

/// Without any credential but the URL.
async fn blob(device: &Device, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    device.hub.0.send(method, path, headers, body.to_owned()).await
}

const BLOCK_BLOB: (&str, &str) = ("x-ms-blob-type", "BlockBlob");

#[tokio::test]
async fn a_file_goes_by_its_url_and_services_hear_of_it() {
    let device = Device::new().await;
    let (place, path) = begin(&device, "a.txt").await;
    assert_eq!((&place["containerName"], &place["blobName"]), (&json!("hub-files"), &json!("d/a.txt")));
    let missing = blob(&device, "GET", &path, &[], "").await.is(404);
    assert_eq!(missing.header("x-ms-error-code"), "BlobNotFound");
    assert!(missing.text.contains("<Code>BlobNotFound</Code>"), "{}", missing.text);
    let put = blob(&device, "PUT", &path, &[BLOCK_BLOB], "hello world").await.is(201);
    assert!(put.header("etag").starts_with("\"0x"));
    assert!(put.header("last-modified").ends_with(" GMT"));
    let got = blob(&device, "GET", &path, &[], "").await.is(200);
    assert_eq!((got.text.as_str(), got.header("content-length")), ("hello world", "11"));
    let part = blob(&device, "GET", &path, &[("x-ms-range", "bytes=6-20")], "").await.is(206);
    assert_eq!((part.text.as_str(), part.header("content-range")), ("world", "bytes 6-10/11"));
    let beyond = blob(&device, "GET", &path, &[("range", "bytes=11-")], "").await.is(416);
    assert_eq!(beyond.header("x-ms-error-code"), "InvalidRange");
    let end = json!({ "correlationId": place["correlationId"], "isSuccess": true, "statusCode": 201, "statusDescription": null });
    device.call("POST", &format!("{FILES}/notifications"), &[], &end.to_string()).await.is(204);
    let again = device.call("POST", &format!("{FILES}/notifications"), &[], &end.to_string()).await;
    refused(&again, 400, "InvalidFileUploadCorrelationId");
    let queue = "/messages/serviceBound/filenotifications";
    let told = device.hub.call("GET", queue, &[], None).await.is(200);
    assert_eq!((&told.json()["blobName"], &told.json()["blobSizeInBytes"]), (&json!("d/a.txt"), &json!(11)));
    let token = told.header("etag").trim_matches('"').to_owned();
    device.hub.call("POST", &format!("{queue}/{token}/abandon"), &[], None).await.is(204);
    let told = device.hub.call("GET", queue, &[], None).await.is(200);
    assert_eq!(told.header("iothub-deliverycount"), "1");
    let token = told.header("etag").trim_matches('"').to_owned();
    device.hub.call("DELETE", &format!("{queue}/{token}"), &[], None).await.is(204);
    device.hub.call("GET", queue, &[], None).await.is(204);
    refused(
        &device.hub.call("DELETE", &format!("{queue}/{token}"), &[], None).await,
        412,
        "DeviceMessageLockLost",
    );
}

#[tokio::test]
async fn the_correlation_id_may_be_in_the_path() {
    let device = Device::new().await;
    let (place, path) = begin(&device, "a.txt").await;
    let id = place["correlationId"].as_str().unwrap();
    let notify = format!("{FILES}/notifications/{id}");
    let end = json!({ "isSuccess": true, "statusCode": 201 }).to_string();
    refused(&device.call("POST", &notify, &[], &end).await, 400, "InvalidStorageEndpointOrBlob");
    blob(&device, "PUT", &path, &[BLOCK_BLOB], "").await.is(201);
    device.call("POST", &notify, &[], &end).await.is(204);
    for (body, path) in [
        ("{}", FILES),
        (r#"{"blobName":""}"#, FILES),
        (r#"{"blobName":"../x"}"#, FILES),
        ("nonsense", FILES),
        ("{}", &notify),
    ] {
        refused(&device.call("POST", path, &[], body).await, 400, "ArgumentInvalid");
    }
    assert_eq!(device.call("GET", FILES, &[], "").await.status, 405);
}

#[tokio::test]
async fn blocks_are_taken_as_clients_send_them() {
    let device = Device::new().await;
    let (_, path) = begin(&device, "big").await;
    for (id, body) in [("QUFC", "bb"), ("QUFB", "aa")] {
        blob(&device, "PUT", &format!("{path}&comp=block&blockid={id}"), &[], body).await.is(201);
    }
    let list = |ids: &[&str]| {
        let ids: String = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{ids}</BlockList>")
    };
    let lists = format!("{path}&comp=blocklist");
    let wrong = blob(&device, "PUT", &lists, &[], &list(&["QUFD"])).await.is(400);
    assert_eq!(wrong.header("x-ms-error-code"), "InvalidBlockList");
    let wrong = blob(&device, "PUT", &lists, &[], "{}").await.is(400);
    assert_eq!(wrong.header("x-ms-error-code"), "InvalidXmlDocument");
    let wrong = blob(&device, "PUT", &format!("{path}&comp=block&blockid=%21"), &[], "x").await.is(400);
    assert_eq!(wrong.header("x-ms-error-code"), "InvalidQueryParameterValue");
    let made = blob(&device, "PUT", &lists, &[], &list(&["QUFB", "QUFC"])).await.is(201);
    let head = blob(&device, "HEAD", &path, &[], "").await.is(200);
    assert_eq!((head.header("content-length"), head.header("etag")), ("4", made.header("etag")));
    assert_eq!(blob(&device, "GET", &path, &[], "").await.is(200).text, "aabb");
    let there = blob(&device, "PUT", &path, &[BLOCK_BLOB, ("if-none-match", "*")], "x").await.is(409);
    assert_eq!(there.header("x-ms-error-code"), "BlobAlreadyExists");
    let etag = made.header("etag").to_owned();
    blob(&device, "PUT", &path, &[BLOCK_BLOB, ("if-match", &etag)], "xy").await.is(201);
    let changed = blob(&device, "PUT", &path, &[BLOCK_BLOB, ("if-match", &etag)], "xyz").await.is(412);
    assert_eq!(changed.header("x-ms-error-code"), "ConditionNotMet");
    let page = blob(&device, "PUT", &path, &[("x-ms-blob-type", "PageBlob")], "").await.is(400);
    assert_eq!(page.header("x-ms-error-code"), "UnsupportedHeader");
}

#[tokio::test]
async fn a_blob_opens_to_its_url_and_to_services_only() {
    let device = Device::new().await;
    let (place, path) = begin(&device, "a b.txt").await;
    blob(&device, "PUT", &path.replace(' ', "%20"), &[BLOCK_BLOB], "x").await.is(201);
    let (bare, token) = path.split_once('?').unwrap();
    let bare = bare.replace(' ', "%20");
    for wrong in [
        bare.clone(),
        format!("{bare}?{}", token.replace("sp=rw", "sp=rwd")),
        format!("{bare}?{}", token.replace("sig=", "sig=x")),
        format!("/hub-files/d/other?{token}"),
        format!("/hub-files/?{token}"),
        format!("/hub-files/d/..%2F..%2Fstate.db?{token}"),
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = blob(&device, method, &wrong, &[BLOCK_BLOB], "x").await.is(403);
            assert_eq!(answer.header("x-ms-error-code"), "AuthenticationFailed", "{method} {wrong}");
        }
    }
    let not_deleted = blob(&device, "DELETE", &format!("{bare}?{token}"), &[], "").await.is(403);
    assert_eq!(not_deleted.header("x-ms-error-code"), "AuthorizationPermissionMismatch");
    assert_eq!(place["blobName"], "d/a b.txt");
    let service = device.hub.0.token("service");
    let as_service = [("authorization", service.as_str())];
    assert_eq!(blob(&device, "GET", &bare, &as_service, "").await.is(200).text, "x");
    blob(&device, "PUT", &bare, &[("authorization", &service), BLOCK_BLOB], "y").await.is(403);
    let reader = device.hub.0.token("registryRead");
    blob(&device, "GET", &bare, &[("authorization", &reader)], "").await.is(403);
    blob(&device, "GET", &bare, &[("authorization", "SharedAccessSignature nonsense")], "").await.is(403);
    blob(&device, "DELETE", &bare, &as_service, "").await.is(202);
    blob(&device, "GET", &bare, &as_service, "").await.is(404);
}
