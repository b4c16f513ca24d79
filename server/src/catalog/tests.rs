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
    let (first, made) = catalog.create(card("a"), Some("k1".into())).await.unwrap();
    assert_eq!(made, Made::New);
    let (again, made) = catalog.create(card("b"), Some("k1".into())).await.unwrap();
    assert_eq!((made, &again.id), (Made::Before, &first.id));
    assert!(catalog.get("b").is_none());
    catalog.delete("a").await.unwrap();
    let (_, made) = catalog.create(card("b"), Some("k1".into())).await.unwrap();
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
