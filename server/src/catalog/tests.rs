use super::*;
use crate::ladder::Profile;

fn card(id: &str) -> Stream {
    Stream::new(
        id,
        format!("Card {id}"),
        Source::TestCard { height: 720, duration_s: 10.0, frame_rate: 30.0 },
        Profile::default(),
    )
}

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    {
        let catalog = Catalog::open(folder.path()).await.unwrap();
        catalog.create(card("a"), None).await.unwrap();
        catalog.create(card("b"), None).await.unwrap();
        catalog.update("a", |s| s.state = State::Ready).await.unwrap();
        catalog
            .update("b", |s| {
                s.state = State::Failed;
                s.error = Some("no decoder".into());
            })
            .await
            .unwrap();
    }
    let catalog = Catalog::open(folder.path()).await.unwrap();
    assert_eq!(catalog.list().len(), 2);
    assert_eq!(catalog.get("a").unwrap().state, State::Ready);
    assert_eq!(catalog.get("b").unwrap().error.as_deref(), Some("no decoder"));
    assert_eq!(catalog.get("a").unwrap().source, card("a").source);
}

#[tokio::test]
async fn an_id_is_taken_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).await.unwrap();
    catalog.create(card("a"), None).await.unwrap();
    assert!(matches!(catalog.create(card("a"), None).await, Err(CatalogError::Exists(id)) if id == "a"));
    catalog.delete("a").await.unwrap();
    assert!(matches!(catalog.delete("a").await, Err(CatalogError::Missing(_))));
    catalog.create(card("a"), None).await.unwrap();
}

#[tokio::test]
async fn a_repeated_idempotency_key_finds_the_first_stream() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).await.unwrap();
    let key = |request: &str| Some(RequestKey { key: "k1".into(), request: request.into() });
    let (first, made) = catalog.create(card("a"), key("one")).await.unwrap();
    assert_eq!(made, Made::New);
    let (again, made) = catalog.create(card("b"), key("one")).await.unwrap();
    assert_eq!((made, &again.id), (Made::Before, &first.id));
    assert!(catalog.get("b").is_none());
    let other = catalog.create(card("b"), key("another")).await;
    assert!(matches!(other, Err(CatalogError::KeyUsed(id)) if id == "a"));
    assert!(catalog.get("b").is_none());
    catalog.delete("a").await.unwrap();
    let (_, made) = catalog.create(card("b"), key("another")).await.unwrap();
    assert_eq!(made, Made::New, "the key of a deleted stream is free again");
}

#[tokio::test]
async fn readers_hear_of_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).await.unwrap();
    let mut changes = catalog.changes();
    catalog.create(card("a"), None).await.unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    catalog.update("a", |s| s.title = "New".into()).await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(catalog.get("a").unwrap().title, "New");
}

#[test]
fn ids_are_plain() {
    for good in ["a", "test-card", "0", "a".repeat(64).as_str()] {
        assert!(valid_id(good), "{good}");
    }
    for bad in ["", "-a", "A", "a_b", "a.b", "..", "a/b", "ä", "a".repeat(65).as_str(), "a\0"] {
        assert!(!valid_id(bad), "{bad:?}");
    }
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    {
        let db = rusqlite::Connection::open(folder.path().join("catalog.sqlite3")).unwrap();
        db.execute_batch(
            r#"CREATE TABLE stream (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, state TEXT NOT NULL,
                source TEXT NOT NULL, profile TEXT NOT NULL, error TEXT, created_ms INTEGER NOT NULL,
                updated_ms INTEGER NOT NULL) STRICT;
            CREATE TABLE idempotency (key TEXT PRIMARY KEY NOT NULL, stream TEXT NOT NULL, made_ms INTEGER NOT NULL)
                STRICT;
            INSERT INTO stream VALUES ('old', 'Old', 'ready', '{"type":"upload","upload":"u"}', '{}', NULL, 1, 2);
            PRAGMA user_version = 1;"#,
        )
        .unwrap();
    }
    for _ in 0..2 {
        let catalog = Catalog::open(folder.path()).await.unwrap();
        let old = catalog.get("old").unwrap();
        assert_eq!((old.state, old.live.clone(), old.updated_ms), (State::Ready, None, 2));
    }
}

#[tokio::test]
async fn a_live_stream_keeps_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live { dvr_s: 60, record: true, key_sha256: Some("ab".into()), ..Live::default() };
    {
        let catalog = Catalog::open(folder.path()).await.unwrap();
        let stream = Stream::new("cam", "Cam", Source::Publisher, Profile::default()).with_live(live.clone());
        catalog.create(stream, None).await.unwrap();
    }
    let stream = Catalog::open(folder.path()).await.unwrap().get("cam").unwrap();
    assert_eq!((stream.state, &stream.live, &stream.source), (State::Idle, &Some(live), &Source::Publisher));
}
