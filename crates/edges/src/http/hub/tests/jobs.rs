//! Scheduled jobs: shapes, statuses, refusals. No node works on them here.

use serde_json::{Value, json};

use super::{Hub, refused};

fn twin_job(id: &str) -> Value {
    json!({
        "jobId": id, "type": "scheduleUpdateTwin", "queryCondition": "*", "maxExecutionTimeInSeconds": 20,
        "startTime": "2999-05-08T12:19:56.868Z",
        "updateTwin": {"etag": "*", "tags": {"floor": "G"}, "properties": {"desired": {"n": 1, "$version": 7}}},
    })
}

#[tokio::test]
async fn a_job_is_scheduled_shown_and_cancelled() {
    let hub = Hub::new().await;
    let made = hub.call("PUT", "/jobs/v2/job01", &[], Some(twin_job("job01"))).await.is(200).json();
    assert_eq!(made, json!({"jobId": "job01", "type": "scheduleUpdateTwin", "status": "queued"}));
    let mut shown = hub.call("GET", "/jobs/v2/job01", &[], None).await.is(200).json();
    assert!(shown["createdTime"].is_string() && shown.get("endTime").is_none());
    shown["createdTime"] = json!("");
    let expected = json!({
        "jobId": "job01", "type": "scheduleUpdateTwin", "status": "scheduled", "queryCondition": "*",
        "maxExecutionTimeInSeconds": 20, "createdTime": "", "startTime": "2999-05-08T12:19:56.8680000Z",
        "updateTwin": {"etag": "*", "tags": {"floor": "G"}, "properties": {"desired": {"n": 1}}},
        "deviceJobStatistics":
            {"deviceCount": 0, "failedCount": 0, "succeededCount": 0, "runningCount": 0, "pendingCount": 0},
    });
    assert_eq!(shown, expected);
    refused(&hub.call("PUT", "/jobs/v2/job01", &[], Some(twin_job("job01"))).await, 409, "JobAlreadyExists");

    let method = json!({
        "type": "ScheduleDeviceMethod", "queryCondition": "DeviceId IN ['d']", "startTime": "2999-05-08T12:19:56",
        "cloudToDeviceMethod": {"methodName": "m", "payload": null, "responseTimeoutInSeconds": 10},
    });
    hub.call("PUT", "/jobs/v2/job02", &[], Some(method)).await.is(200);
    let shown = hub.call("GET", "/jobs/v2/job02", &[], None).await.is(200).json();
    let method = json!({"methodName": "m", "payload": null, "responseTimeoutInSeconds": 10});
    assert_eq!((&shown["cloudToDeviceMethod"], &shown["maxExecutionTimeInSeconds"]), (&method, &json!(3600)));

    let page = hub.call("GET", "/jobs/v2/query", &[("x-ms-max-item-count", "1")], None).await.is(200);
    assert_eq!(
        (page.header("x-ms-item-type"), page.json()[0]["jobId"].as_str()),
        ("jobResponse", Some("job01"))
    );
    let token = page.header("x-ms-continuation").to_owned();
    let next = [("x-ms-max-item-count", "1"), ("x-ms-continuation", token.as_str())];
    let page = hub.call("GET", "/jobs/v2/query", &next, None).await.is(200).json();
    assert_eq!(page[0]["jobId"], "job02");
    let of_type = "/jobs/v2/query?jobType=ScheduleDeviceMethod&jobStatus=Scheduled";
    let page = hub.call("GET", of_type, &[], None).await.is(200).json();
    assert_eq!((page.as_array().unwrap().len(), &page[0]["jobId"]), (1, &json!("job02")));

    let mut now = twin_job("job03");
    now["startTime"] = json!("");
    hub.call("PUT", "/jobs/v2/job03", &[], Some(now)).await.is(200);
    let shown = hub.call("GET", "/jobs/v2/job03", &[], None).await.is(200).json();
    assert_eq!(shown["startTime"], shown["createdTime"]);

    let gone = hub.call("POST", "/jobs/v2/job01/cancel", &[], None).await.is(200).json();
    assert_eq!((&gone["jobId"], &gone["status"]), (&json!("job01"), &json!("cancelled")));
    let page = hub.call("GET", "/jobs/v2/query?jobStatus=cancelled", &[], None).await.is(200).json();
    assert!(page[0]["endTime"].is_string());
}

#[tokio::test]
async fn what_is_no_job_is_refused() {
    let hub = Hub::new().await;
    let unknown = hub.call("GET", "/jobs/v2/none", &[], None).await.is(200).json();
    assert_eq!(unknown, json!({"jobId": "none", "type": "unknown", "status": "unknown"}));
    refused(&hub.call("POST", "/jobs/v2/none/cancel", &[], None).await, 404, "JobNotFound");
    let without = |member: &str| {
        let mut job = twin_job("j");
        job.as_object_mut().unwrap().remove(member);
        job
    };
    let with = |member: &str, value: Value| {
        let mut job = twin_job("j");
        job[member] = value;
        job
    };
    for job in [
        json!([]),
        without("type"),
        without("updateTwin"),
        without("queryCondition"),
        with("jobId", json!("k")),
        with("type", json!("scheduleTwinUpdate")),
        with("type", json!("export")),
        with("type", json!("scheduleDeviceMethod")),
        with("queryCondition", json!("tags.x =")),
        with("queryCondition", json!("SELECT * FROM devices.jobs")),
        with("startTime", json!("tomorrow")),
        with("maxExecutionTimeInSeconds", json!(-1)),
        with("updateTwin", json!({"tags": {"a": 1}})),
        with("updateTwin", json!({"etag": "*", "tags": {"a.b": 1}})),
        with("cloudToDeviceMethod", json!({"payload": 1})),
    ] {
        refused(&hub.call("PUT", "/jobs/v2/j", &[], Some(job)).await, 400, "ArgumentInvalid");
    }
    refused(&hub.call("PUT", "/jobs/v2/query", &[], Some(twin_job("query"))).await, 405, "InvalidOperation");
    refused(&hub.call("PUT", "/jobs/v2/a%20b", &[], Some(twin_job("a b"))).await, 400, "ArgumentInvalid");
    for filter in ["jobType=import", "jobStatus=pending"] {
        let path = format!("/jobs/v2/query?{filter}");
        refused(&hub.call("GET", &path, &[], None).await, 400, "ArgumentInvalid");
    }
    // The rights of the article: registry read, registry write.
    let body = twin_job("j").to_string();
    let edge = &hub.0;
    let call = async |policy: &str, method: &str, path: &str, body: &str| {
        edge.call(policy, method, path, &[], serde_json::from_str(body).ok()).await
    };
    refused(&call("registryRead", "PUT", "/jobs/v2/j", &body).await, 401, "IotHubUnauthorizedAccess");
    refused(&call("service", "PUT", "/jobs/v2/j", &body).await, 401, "IotHubUnauthorizedAccess");
    call("registryReadWrite", "PUT", "/jobs/v2/j", &body).await.is(200);
    refused(&call("registryRead", "POST", "/jobs/v2/j/cancel", "").await, 401, "IotHubUnauthorizedAccess");
    call("registryRead", "GET", "/jobs/v2/j", "").await.is(200);
    call("registryRead", "GET", "/jobs/v2/query", "").await.is(200);
}

#[tokio::test]
async fn a_page_of_jobs_at_devices_says_what_it_is() {
    let hub = Hub::new().await;
    for (query, kind) in [
        ("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'j'", "deviceJob"),
        ("select * from Devices.Jobs", "deviceJob"),
        ("SELECT COUNT() FROM devices.jobs", "raw"),
    ] {
        let page = hub.call("POST", "/devices/query", &[], Some(json!({ "query": query }))).await.is(200);
        assert_eq!(page.header("x-ms-item-type"), kind, "{query}");
    }
}
