//! Uploads over a folder.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::{DeviceId, Error, ErrorCode, Timestamp};

use super::*;
use crate::Settings;
use crate::caller::{Caller, DeviceProof, Identity};
use crate::fixture::World;
use crate::hub::cloud_to_device::{Notices, Settle};
use crate::hub::{DeviceInput, UploadEnd};
use crate::resources::Declared;

/// A world whose hub keeps files in a folder, with a device.
struct Uploads {
    world: World,
    hub: Arc<Resource>,
    device: Caller,
    id: DeviceId,
    folder: tempfile::TempDir,
}

const HOST: &str = "hub1.example:8443";

impl Uploads {
    async fn new() -> Self {
        Self::declared(serde_json::json!({})).await
    }

    async fn declared(file_upload: serde_json::Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { files: Some(folder.path().to_owned()), ..Settings::default() };
        let said = serde_json::json!({ "name": "hub1", "fileUpload": file_upload });
        let declared = Declared::read(ResourceKind::Hub, None, said).unwrap();
        let world = World::with(settings, &[declared]).await;
        let hub = world.resource(ResourceKind::Hub, "hub1");
        let mut uploads =
            Self { device: Caller::admin(), id: DeviceId::parse("d1").unwrap(), world, hub, folder };
        uploads.device = uploads.device("d1").await;
        uploads
    }

    fn service(&self) -> &Arc<Hub> {
        &self.world.services.hub
    }

    async fn device(&self, id: &str) -> Caller {
        let (status, status_reason, authentication) = Default::default();
        let input = DeviceInput {
            id: id.to_owned(),
            status,
            status_reason,
            authentication,
            iot_edge: false,
            scopes: crate::hub::Scopes::default(),
        };
        let made = self.service().create_device(&Caller::admin(), &self.hub, input).await.unwrap();
        let identity = Identity::Device {
            hub: self.hub.name.clone(),
            id: DeviceId::parse(id).unwrap().into(),
            generation_id: made.identity.generation_id,
            by: DeviceProof::Key,
        };
        Caller::own(identity)
    }

    async fn begin(&self, name: &str) -> Result<UploadPlace> {
        self.service().create_upload(&self.device, &self.hub, &self.id, (name, HOST)).await
    }

    async fn end(&self, correlation_id: &str, is_success: bool) -> Result<()> {
        let end = UploadEnd { correlation_id: correlation_id.to_owned(), is_success, status_code: Some(201) };
        self.service().complete_upload(&self.device, &self.hub, &self.id, (end, HOST)).await
    }

    async fn open(&self, place: &UploadPlace) -> Result<BlobGrant, BlobRefusal> {
        self.service().open_blob(&self.hub, &place.blob_name, &signature(&place.sas_token)).await
    }

    async fn put(&self, grant: &BlobGrant, bytes: &[u8]) -> Result<crate::blobs::BlobState, BlobRefusal> {
        self.service().put_blob(grant, &BlobCondition::default(), parts(bytes)).await
    }

    async fn told(&self) -> Option<crate::hub::cloud_to_device::FeedbackBatch> {
        self.service().receive_notices(&Caller::admin(), &self.hub, Notices::Files).await.unwrap()
    }

    fn path(&self, blob: &str) -> std::path::PathBuf {
        self.folder.path().join("hub1").join(CONTAINER).join(blob)
    }
}

fn parts(bytes: &[u8]) -> impl futures_util::Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<> {
    let parts: Vec<_> = bytes.chunks(3).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
    stream::iter(parts)
}

fn signature(token: &str) -> BlobSignature {
    let mut read = BlobSignature::default();
    for (name, value) in url::form_urlencoded::parse(token.trim_start_matches('?').as_bytes()) {
        let field = match &*name {
            "sv" => &mut read.version,
            "sr" => &mut read.resource,
            "sp" => &mut read.permissions,
            "se" => &mut read.expires,
            "sig" => &mut read.signature,
            other => panic!("{other}"),
        };
        *field = value.into_owned();
    }
    read
}

#[tokio::test]
async fn a_file_is_uploaded_and_services_are_told_once() {
    let uploads = Uploads::new().await;
    let place = uploads.begin("log/a b.txt").await.unwrap();
    assert_eq!((place.host_name.as_str(), place.container_name.as_str()), (HOST, CONTAINER));
    assert_eq!(place.blob_name, "d1/log/a b.txt");
    // There is no file yet.
    let missing = uploads.end(&place.correlation_id, true).await.unwrap_err();
    assert_eq!(missing.code, ErrorCode::BlobNotFound);
    assert_eq!(missing.message, "there is no blob 'd1/log/a b.txt'");
    let grant = uploads.open(&place).await.unwrap();
    assert_eq!(uploads.put(&grant, b"hello world").await.unwrap().size, 11);
    assert_eq!(std::fs::read(uploads.path("d1/log/a b.txt")).unwrap(), b"hello world");
    uploads.end(&place.correlation_id, true).await.unwrap();
    assert_eq!(uploads.end(&place.correlation_id, true).await.unwrap_err().code, ErrorCode::UploadNotFound);
    let told = uploads.told().await.unwrap();
    let record: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(record["deviceId"], "d1");
    assert_eq!(record["blobName"], "d1/log/a b.txt");
    assert_eq!(record["blobUri"], "https://hub1.example:8443/hub-files/d1/log/a%20b.txt");
    assert_eq!(record["blobSizeInBytes"], 11);
    assert!(uploads.told().await.is_none(), "it is locked");
    let settle = |end| {
        let token = told.lock_token.clone();
        let hub = Arc::clone(uploads.service());
        let of = Arc::clone(&uploads.hub);
        async move { hub.settle_notices(&Caller::admin(), &of, Notices::Files, (&token, end)).await }
    };
    settle(Settle::Complete).await.unwrap();
    assert_eq!(settle(Settle::Complete).await.unwrap_err().code, ErrorCode::MessageLockLost);
    assert!(uploads.told().await.is_none());
}

#[tokio::test]
async fn a_device_has_ten_uploads_and_nobody_elses() {
    let uploads = Uploads::new().await;
    let mut places = Vec::new();
    for number in 0..10 {
        places.push(uploads.begin(&format!("f{number}")).await.unwrap());
    }
    assert_eq!(uploads.begin("f10").await.unwrap_err().code, ErrorCode::UploadLimitReached);
    // One that failed frees its place and tells nobody.
    uploads.end(&places[3].correlation_id, false).await.unwrap();
    uploads.begin("f10").await.unwrap();
    assert!(uploads.told().await.is_none());
    // So does one whose time is over.
    uploads.world.clock.advance(Duration::from_secs(3600));
    let late = uploads.end(&places[4].correlation_id, false).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::UploadNotFound);
    assert_eq!(
        uploads.open(&places[4]).await.unwrap_err(),
        BlobRefusal::NotSigned("the signature has expired")
    );
    let mine = uploads.begin("mine").await.unwrap();
    let other = uploads.device("d2").await;
    let (id, end) = (
        DeviceId::parse("d2").unwrap(),
        UploadEnd { correlation_id: mine.correlation_id.clone(), is_success: false, status_code: None },
    );
    let hub = uploads.service();
    let foreign = hub.complete_upload(&other, &uploads.hub, &id, (end.clone(), HOST)).await.unwrap_err();
    assert_eq!(foreign.code, ErrorCode::UploadNotFound);
    let foreign = hub.complete_upload(&other, &uploads.hub, &uploads.id, (end, HOST)).await.unwrap_err();
    assert_eq!(foreign.code, ErrorCode::Forbidden);
    for name in ["", "../x", "a//b", "x\u{7}", &"x".repeat(300)] {
        assert_eq!(uploads.begin(name).await.unwrap_err().code, ErrorCode::InvalidArgument, "{name:?}");
    }
}

#[tokio::test]
async fn a_device_that_is_made_again_has_no_uploads() {
    let uploads = Uploads::new().await;
    let place = uploads.begin("f").await.unwrap();
    let hub = uploads.service();
    hub.delete_device(&Caller::admin(), &uploads.hub, "d1", None).await.unwrap();
    let again = uploads.device("d1").await;
    let end = UploadEnd { correlation_id: place.correlation_id, is_success: false, status_code: None };
    let refused = hub.complete_upload(&again, &uploads.hub, &uploads.id, (end, HOST)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::UploadNotFound);
    for number in 0..10 {
        let name = format!("f{number}");
        hub.create_upload(&again, &uploads.hub, &uploads.id, (&name, HOST)).await.unwrap();
    }
}

#[tokio::test]
async fn a_url_is_good_for_what_it_says() {
    let uploads = Uploads::new().await;
    let place = uploads.begin("f").await.unwrap();
    let good = signature(&place.sas_token);
    let try_with = async |blob: &str, change: fn(&mut BlobSignature)| {
        let mut sas = good.clone();
        change(&mut sas);
        uploads.service().open_blob(&uploads.hub, blob, &sas).await
    };
    assert!(try_with("d1/f", |_| {}).await.is_ok());
    for refused in [
        try_with("d1/g", |_| {}).await,
        try_with("d1/f", |sas| sas.permissions = "rwd".into()).await,
        try_with("d1/f", |sas| sas.expires = "2099-01-01T00:00:00Z".into()).await,
        try_with("d1/f", |sas| sas.resource = "c".into()).await,
        try_with("d1/f", |sas| sas.signature = "AAAA".into()).await,
        try_with("d1/f", |sas| sas.signature = String::new()).await,
    ] {
        assert!(matches!(refused, Err(BlobRefusal::NotSigned(_))), "{refused:?}");
    }
    let grant = uploads.open(&place).await.unwrap();
    let (hub, none) = (uploads.service(), BlobCondition::default());
    assert_eq!(hub.delete_blob(&grant, &none).await, Err(BlobRefusal::NotAllowed));
    assert_eq!(hub.read_blob(&grant, &none, None).await.unwrap_err(), BlobRefusal::Missing);
}

#[tokio::test]
async fn blocks_become_a_blob_when_they_are_listed() {
    let uploads = Uploads::new().await;
    let place = uploads.begin("big").await.unwrap();
    let grant = uploads.open(&place).await.unwrap();
    let hub = uploads.service();
    let ids: Vec<String> = ["AAAA", "AAAB", "AAAC"].map(str::to_owned).into();
    for (id, bytes) in [(&ids[1], b"bb".as_slice()), (&ids[0], b"xx"), (&ids[2], b"cc"), (&ids[0], b"aa")] {
        hub.put_block(&grant, id, parts(bytes)).await.unwrap();
    }
    assert!(!uploads.path("d1/big").exists());
    assert_eq!(hub.put_block(&grant, "not base64!", parts(b"")).await, Err(BlobRefusal::BlockId));
    let missing = vec!["AAAD".to_owned()];
    let listed = hub.put_block_list(&grant, &BlobCondition::default(), &missing).await;
    assert_eq!(listed.unwrap_err(), BlobRefusal::BlockList);
    let state = hub.put_block_list(&grant, &BlobCondition::default(), &ids).await.unwrap();
    assert_eq!((state.size, std::fs::read(uploads.path("d1/big")).unwrap()), (6, b"aabbcc".to_vec()));
    // They are of that blob, and gone; whoever did not hear so asks once more.
    assert_eq!(std::fs::read_dir(uploads.path(".pollux-blocks")).unwrap().count(), 1);
    let again =
        async |condition: &BlobCondition, ids: &[String]| hub.put_block_list(&grant, condition, ids).await;
    let none = BlobCondition::default();
    assert_eq!(again(&none, &ids).await, Ok(state));
    assert_eq!(again(&none, &ids[..2]).await, Err(BlobRefusal::BlockList));
    assert_eq!(again(&BlobCondition::absent(), &ids).await, Err(BlobRefusal::Exists));
    let range = Some(BlobRange { first: 1, last: Some(3) });
    let mut content = hub.read_blob(&grant, &none, range).await.unwrap();
    assert_eq!((content.length, content.next().await.unwrap().unwrap().as_ref()), (3, b"abb".as_slice()));
    assert_eq!(content.next().await.unwrap(), None);
    let beyond = Some(BlobRange { first: 6, last: None });
    let beyond = hub.read_blob(&grant, &none, beyond).await.unwrap_err();
    assert_eq!(beyond, BlobRefusal::Range(6));
    let absent = hub.put_blob(&grant, &BlobCondition::absent(), parts(b"x")).await;
    assert_eq!(absent, Err(BlobRefusal::Exists));
    let is = |state| BlobCondition { matches: Some(Etags::These(vec![state])), differs: None };
    let other = is(crate::blobs::BlobState { size: 1, ..state });
    assert_eq!(hub.put_blob(&grant, &other, parts(b"x")).await, Err(BlobRefusal::Changed));
    assert!(hub.put_blob(&grant, &is(state), parts(b"x")).await.is_ok());
    // What the list made is not there any more.
    assert_eq!(again(&none, &ids).await, Err(BlobRefusal::BlockList));
}

#[tokio::test]
async fn a_name_that_is_another_ones_folder_is_refused() {
    let uploads = Uploads::new().await;
    let (file, below) = (uploads.begin("a").await.unwrap(), uploads.begin("a/b").await.unwrap());
    let (file, below) = (uploads.open(&file).await.unwrap(), uploads.open(&below).await.unwrap());
    uploads.put(&file, b"x").await.unwrap();
    assert!(matches!(uploads.put(&below, b"y").await, Err(BlobRefusal::Name(_))));
    uploads.service().put_block(&below, "AAAA", parts(b"y")).await.unwrap();
    let listed =
        uploads.service().put_block_list(&below, &BlobCondition::default(), &["AAAA".to_owned()]).await;
    assert!(matches!(listed, Err(BlobRefusal::Name(_))));
    assert_eq!(
        uploads.service().blob_state(&below, &BlobCondition::default()).await,
        Err(BlobRefusal::Missing)
    );
}

#[tokio::test]
async fn what_breaks_off_or_is_too_much_leaves_nothing() {
    let uploads = Uploads::new().await;
    let place = uploads.begin("f").await.unwrap();
    let grant = uploads.open(&place).await.unwrap();
    let broken = stream::iter([Ok(Bytes::from_static(b"half")), Err(Error::internal())]);
    let put = uploads.service().put_blob(&grant, &BlobCondition::default(), broken).await;
    assert_eq!(put, Err(BlobRefusal::BrokenOff));
    assert_eq!(std::fs::read_dir(uploads.path("d1")).unwrap().count(), 0);
    let mut draft = uploads.service().draft(&grant, &BlobCondition::default()).await.unwrap();
    let bounded = uploads.service().write_bounded(&grant, &mut draft, parts(b"0123456789"), 8).await;
    assert_eq!(bounded, Err(BlobRefusal::TooLarge(8)));
    let most = uploads.world.services.context.limits.files;
    assert_eq!(uploads.service().reserve(&grant, most + 1).await, Err(BlobRefusal::Full(most)));
    assert_eq!(uploads.service().reserve(&grant, 1).await, Ok(()));
}

#[tokio::test]
async fn what_was_not_finished_is_swept() {
    let uploads = Uploads::new().await;
    let place = uploads.begin("f").await.unwrap();
    let grant = uploads.open(&place).await.unwrap();
    uploads.put(&grant, b"kept").await.unwrap();
    uploads.service().put_block(&grant, "AAAA", parts(b"lost")).await.unwrap();
    let draft = uploads.path("d1/.pollux-lost");
    std::fs::write(&draft, "lost").unwrap();
    // The clock of the world stands still in the past: nothing is old enough.
    uploads.service().sweep_files(Duration::ZERO).await;
    assert!(draft.exists());
    let far = Timestamp::from_secs(4_000_000_000).since(uploads.world.services.context.clock.now());
    uploads.world.clock.advance(far);
    uploads.service().sweep_files(Duration::ZERO).await;
    assert!(!draft.exists() && uploads.path("d1/f").exists());
    assert_eq!(std::fs::read_dir(uploads.path(".pollux-blocks")).unwrap().count(), 0);
    // What a storage endpoint was writing when its node was killed.
    let archive = uploads.folder.path().join("hub1/telemetry/hub1/0");
    std::fs::create_dir_all(&archive).unwrap();
    std::fs::write(archive.join(".pollux-lost"), "lost").unwrap();
    std::fs::write(archive.join("04_archive_0.avro"), "kept").unwrap();
    // And what a device uploaded to a hub whose deletion was cut off.
    let gone = uploads.folder.path().join("hub9");
    std::fs::create_dir_all(gone.join(CONTAINER).join("d1")).unwrap();
    std::fs::create_dir_all(gone.join("telemetry")).unwrap();
    std::fs::write(gone.join(CONTAINER).join("d1/f"), "lost").unwrap();
    uploads.service().sweep_files(Duration::ZERO).await;
    assert!(!archive.join(".pollux-lost").exists() && archive.join("04_archive_0.avro").exists());
    assert!(!gone.join(CONTAINER).exists() && gone.join("telemetry").exists());
    assert!(uploads.path("d1/f").exists());
}

#[tokio::test]
async fn the_files_of_a_hub_go_with_it() {
    let uploads = Uploads::new().await;
    let (place, late) = (uploads.begin("f").await.unwrap(), uploads.begin("late").await.unwrap());
    let late = uploads.open(&late).await.unwrap();
    uploads.put(&uploads.open(&place).await.unwrap(), b"x").await.unwrap();
    let resources = &uploads.world.services.resources;
    resources.delete_group(&Caller::admin(), &uploads.hub.group).await.unwrap();
    assert!(!uploads.path("").exists());
    // One that was sending then does not leave its file to the next hub of that name.
    let refused = uploads.put(&late, b"x").await;
    assert_eq!(refused, Err(BlobRefusal::NotSigned("the hub is deleted")));
    assert!(!uploads.path("d1/late").exists());
}

#[tokio::test]
async fn one_of_two_who_make_a_blob_makes_it() {
    let uploads = Uploads::new().await;
    let grant = uploads.open(&uploads.begin("f").await.unwrap()).await.unwrap();
    let absent = BlobCondition::absent();
    let put = |bytes: &'static [u8]| uploads.service().put_blob(&grant, &absent, parts(bytes));
    let (one, two) = tokio::join!(put(b"one"), put(b"two"));
    let made = [one.is_ok(), two.is_ok()];
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{one:?} {two:?}");
    assert_eq!(if made[0] { two } else { one }, Err(BlobRefusal::Exists));
    let expected = if made[0] { b"one" } else { b"two" };
    assert_eq!(std::fs::read(uploads.path("d1/f")).unwrap(), expected);
}

#[tokio::test]
async fn who_sends_slowly_has_no_more_time_than_others() {
    use futures_util::StreamExt as _;
    let uploads = Uploads::new().await;
    let grant = uploads.open(&uploads.begin("f").await.unwrap()).await.unwrap();
    let clock = &uploads.world.clock;
    let slow = stream::iter([0, 3600]).map(|seconds| {
        clock.advance(Duration::from_secs(seconds));
        Ok(Bytes::from_static(b"part"))
    });
    let put = uploads.service().put_blob(&grant, &BlobCondition::default(), slow).await;
    assert_eq!(put, Err(BlobRefusal::NotSigned("the signature has expired")));
    assert!(!uploads.path("d1/f").exists());
}

#[tokio::test]
async fn blocks_that_were_swapped_fill_no_disk() {
    let uploads = Uploads::new().await;
    let grant = uploads.open(&uploads.begin("f").await.unwrap()).await.unwrap();
    let block = uploads.folder.path().join("block");
    std::fs::write(&block, "0123456789").unwrap();
    let mut draft = uploads.service().draft(&grant, &BlobCondition::default()).await.unwrap();
    // They were counted when they were smaller.
    let files = vec![(block.clone(), 12), (block.clone(), 2), (block, 2)];
    let joined = uploads.service().join_blocks(&grant, &mut draft, &files).await;
    assert_eq!(joined, Err(BlobRefusal::BlockList));
}

/// Each of them finds that nobody counted yet.
#[tokio::test]
async fn many_at_once_are_counted_together() {
    let uploads = Uploads::new().await;
    let grant = uploads.open(&uploads.begin("f").await.unwrap()).await.unwrap();
    let most = uploads.world.services.context.limits.files;
    let eighth = || uploads.service().reserve(&grant, most / 8);
    let reserved = futures_util::future::join_all((0..8).map(|_| eighth())).await;
    assert_eq!(reserved, vec![Ok(()); 8]);
    assert_eq!(uploads.service().reserve(&grant, 1).await, Err(BlobRefusal::Full(most)));
}

#[tokio::test]
async fn a_hub_without_storage_says_what_is_missing() {
    let uploads = Uploads::new().await;
    let plain = Hub::new(Arc::clone(&uploads.world.services.context));
    let refused =
        plain.create_upload(&uploads.device, &uploads.hub, &uploads.id, ("f", HOST)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::StorageNotConfigured);
    assert!(refused.message.contains("files.folder"), "{}", refused.message);
}

#[tokio::test]
async fn notifications_can_be_off() {
    let uploads = Uploads::declared(serde_json::json!({ "enableFileUploadNotifications": false })).await;
    let place = uploads.begin("f").await.unwrap();
    uploads.put(&uploads.open(&place).await.unwrap(), b"x").await.unwrap();
    uploads.end(&place.correlation_id, true).await.unwrap();
    assert!(uploads.told().await.is_none());
}

#[tokio::test]
async fn the_files_of_a_service_are_its_hubs() {
    let uploads = Uploads::new().await;
    let place = uploads.begin("f").await.unwrap();
    uploads.put(&uploads.open(&place).await.unwrap(), b"x").await.unwrap();
    let hub = uploads.service();
    assert!(hub.open_blob_for_service(&uploads.device, &uploads.hub, "d1/f").is_err());
    let grant = hub.open_blob_for_service(&Caller::admin(), &uploads.hub, "d1/f").unwrap();
    assert_eq!(uploads.put(&grant, b"y").await, Err(BlobRefusal::NotAllowed));
    let none = BlobCondition::default();
    let state = hub.blob_state(&grant, &none).await.unwrap();
    assert_eq!(state.size, 1);
    let differs = BlobCondition { matches: None, differs: Some(Etags::These(vec![state])) };
    assert_eq!(hub.blob_state(&grant, &differs).await, Err(BlobRefusal::NotModified(state)));
    assert_eq!(hub.delete_blob(&grant, &differs).await, Err(BlobRefusal::Changed));
    hub.delete_blob(&grant, &none).await.unwrap();
    assert_eq!(hub.delete_blob(&grant, &none).await, Err(BlobRefusal::Missing));
    let there = BlobCondition { matches: Some(Etags::Any), differs: None };
    assert_eq!(hub.delete_blob(&grant, &there).await, Err(BlobRefusal::Changed));
}
