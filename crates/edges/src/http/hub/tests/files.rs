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
    blob(&device, "PUT", &path, &[BLOCK_BLOB, ("if-none-match", &etag)], "xyz").await.is(201);
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

/// Of reading, looking and deleting, as of writing ("Specifying conditional headers for Blob service operations").
#[tokio::test]
async fn conditions_hold_for_every_operation() {
    let device = Device::new().await;
    let (_, path) = begin(&device, "a.txt").await;
    let not_there = async |method: &str| {
        let answer = blob(&device, method, &path, &[BLOCK_BLOB, ("if-match", "*")], "x").await.is(412);
        assert_eq!(answer.header("x-ms-error-code"), "ConditionNotMet", "{method}");
    };
    for method in ["PUT", "GET", "HEAD"] {
        not_there(method).await;
    }
    let made = blob(&device, "PUT", &path, &[BLOCK_BLOB, ("if-none-match", "*")], "hello").await.is(201);
    let etag = made.header("etag").to_owned();
    let list = format!("\"0x0-0\", {etag}");
    for method in ["GET", "HEAD"] {
        for unchanged in [etag.as_str(), &list, "*"] {
            let answer = blob(&device, method, &path, &[("if-none-match", unchanged)], "").await.is(304);
            assert_eq!(
                (answer.text.as_str(), answer.header("etag")),
                ("", etag.as_str()),
                "{method} {unchanged}"
            );
        }
        blob(&device, method, &path, &[("if-none-match", "\"0x8D4BCC2E4835CD0\"")], "").await.is(200);
        for same in [etag.as_str(), &list, "*"] {
            blob(&device, method, &path, &[("if-match", same)], "").await.is(200);
        }
        blob(&device, method, &path, &[("if-match", "\"0x8D4BCC2E4835CD0\"")], "").await.is(412);
        let by_time = [("if-modified-since", "Tue, 14 Nov 2023 22:13:20 GMT")];
        blob(&device, method, &path, &by_time, "").await.is(400);
    }
    let service = device.hub.0.token("service");
    let bare = path.split('?').next().unwrap();
    let delete = async |name: &str, value: &str| {
        let headers = [("authorization", service.as_str()), (name, value)];
        blob(&device, "DELETE", bare, &headers, "").await.status.as_u16()
    };
    assert_eq!(delete("if-match", "\"0x8D4BCC2E4835CD0\"").await, 412);
    assert_eq!(delete("if-none-match", &etag).await, 412);
    assert_eq!(delete("if-match", &etag).await, 202);
    assert_eq!(delete("if-match", "*").await, 412);
    assert_eq!(delete("x-none", "").await, 404);
}

#[tokio::test]
async fn the_container_is_there_and_paths_that_are_no_text_name_nothing() {
    let device = Device::new().await;
    let (_, path) = begin(&device, "a.txt").await;
    let token = path.split_once('?').unwrap().1;
    let service = device.hub.0.token("service");
    let as_service = [("authorization", service.as_str())];
    for container in ["/hub-files?restype=container", "/hub-files/?restype=container"] {
        let there = blob(&device, "PUT", container, &as_service, "").await.is(409);
        assert_eq!(there.header("x-ms-error-code"), "ContainerAlreadyExists");
        let signed = blob(&device, "PUT", &format!("{container}&{token}"), &[], "").await.is(403);
        assert_eq!(signed.header("x-ms-error-code"), "AuthenticationFailed");
        blob(&device, "GET", container, &as_service, "").await.is(400);
    }
    for blob_path in ["/hub-files/d/%FF", "/hub-files/d/%C3"] {
        let none = blob(&device, "GET", blob_path, &as_service, "").await.is(400);
        assert_eq!(none.header("x-ms-error-code"), "InvalidUri");
    }
    for blob_path in ["/hub-files/d/..%2Fx", "/hub-files/d/%2E%2E/x", "/hub-files/d//x", "/hub-files/d/%00"] {
        let none = blob(&device, "GET", blob_path, &as_service, "").await.is(400);
        assert_eq!(none.header("x-ms-error-code"), "InvalidResourceName", "{blob_path}");
    }
}

/// Services fetch a file from where they are told to: a device does not choose the host.
#[tokio::test]
async fn a_blob_is_where_the_hub_is() {
    let device = Device::new().await;
    let own = device.hub.0.target.host_name.clone();
    let with_port = format!("{own}:8443");
    for (said, shown) in [("evil.example:8443", own.as_str()), (&with_port, &with_port)] {
        let (place, path) = begin(&device, "a.txt").await;
        blob(&device, "PUT", &path, &[BLOCK_BLOB], "x").await.is(201);
        let end = json!({ "correlationId": place["correlationId"], "isSuccess": true, "statusCode": 201 });
        let notify = format!("{FILES}/notifications");
        device.call("POST", &notify, &[("host", said)], &end.to_string()).await.is(204);
        let queue = "/messages/serviceBound/filenotifications";
        let told = device.hub.call("GET", queue, &[], None).await.is(200);
        assert_eq!(told.json()["blobUri"], format!("https://{shown}/hub-files/d/a.txt"), "{said}");
        let token = told.header("etag").trim_matches('"').to_owned();
        device.hub.call("DELETE", &format!("{queue}/{token}"), &[], None).await.is(204);
    }
}
