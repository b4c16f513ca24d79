//! The catalogue's SQL.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{CatalogError, Made, RequestKey, State, Stream, unix_ms};

/// What brings a database from each version (kept in `user_version`) to the next. Append only.
const STEPS: &[&str] = &[
    "
CREATE TABLE stream (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    state TEXT NOT NULL,
    source TEXT NOT NULL,
    profile TEXT NOT NULL,
    error TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY NOT NULL,
    stream TEXT NOT NULL,
    made_ms INTEGER NOT NULL
) STRICT;
",
    "ALTER TABLE stream ADD COLUMN live TEXT;",
    "ALTER TABLE stream ADD COLUMN auth TEXT;",
    "ALTER TABLE idempotency ADD COLUMN request TEXT;",
];

/// Idempotency keys are kept for a day.
const KEY_LIFE_MS: u64 = 86_400_000;

const COLUMNS: &str = "id, title, state, source, profile, error, created_ms, updated_ms, live, auth";

/// Sets the connection up and brings the schema to this version.
pub(super) fn prepare(db: &mut Connection) -> Result<(), CatalogError> {
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // Each commit reaches the disk: what the API confirmed is there after a power cut.
    db.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let steps = usize::try_from(version).ok().and_then(|known| STEPS.get(known..)).ok_or_else(|| {
        let known = STEPS.len();
        let why = format!("its schema is of version {version}, this program knows {known}");
        CatalogError::Database(rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, why.into()))
    })?;
    if steps.is_empty() {
        return Ok(());
    }
    let change = db.transaction()?;
    for step in steps {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "user_version", STEPS.len() as i64)?;
    change.commit()?;
    Ok(())
}

pub(super) fn ping(db: &mut Connection) -> Result<(), CatalogError> {
    Ok(db.query_row("SELECT count(*) FROM stream LIMIT 1", [], |_| Ok(()))?)
}

pub(super) fn all(db: &mut Connection) -> Result<Vec<Stream>, CatalogError> {
    let mut query = db.prepare(&format!("SELECT {COLUMNS} FROM stream"))?;
    let rows = query.query_map([], read)?.collect::<Result<Vec<_>, _>>()?;
    Ok(rows)
}

fn one(db: &Connection, id: &str) -> Result<Option<Stream>, CatalogError> {
    Ok(db.query_row(&format!("SELECT {COLUMNS} FROM stream WHERE id = ?1"), [id], read).optional()?)
}

/// The stream that an earlier request of this key made.
pub(super) fn made_before(db: &Connection, key: &RequestKey) -> Result<Option<Stream>, CatalogError> {
    let earlier: Option<(String, Option<String>)> = db
        .query_row("SELECT stream, request FROM idempotency WHERE key = ?1", [&key.key], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((id, request)) = earlier else { return Ok(None) };
    // What an earlier version of this program noted tells nothing of the request.
    match one(db, &id)? {
        Some(stream) if request.is_some_and(|request| request != key.request) => {
            Err(CatalogError::KeyUsed(stream.id))
        }
        found => Ok(found),
    }
}

pub(super) fn create(
    db: &mut Connection,
    stream: Stream,
    key: Option<&RequestKey>,
) -> Result<(Stream, Made), CatalogError> {
    let change = db.transaction()?;
    change.execute(
        "DELETE FROM idempotency WHERE made_ms < ?1",
        [int(unix_ms().saturating_sub(KEY_LIFE_MS))],
    )?;
    if let Some(key) = key
        && let Some(stream) = made_before(&change, key)?
    {
        return Ok((stream, Made::Before));
    }
    if one(&change, &stream.id)?.is_some() {
        return Err(CatalogError::Exists(stream.id));
    }
    write(&change, &stream)?;
    if let Some(key) = key {
        change.execute(
            "INSERT OR REPLACE INTO idempotency (key, stream, made_ms, request) VALUES (?1, ?2, ?3, ?4)",
            params![key.key, stream.id, int(unix_ms()), key.request],
        )?;
    }
    change.commit()?;
    Ok((stream, Made::New))
}

pub(super) fn delete(db: &mut Connection, id: &str) -> Result<bool, CatalogError> {
    let change = db.transaction()?;
    change.execute("DELETE FROM idempotency WHERE stream = ?1", [id])?;
    let gone = change.execute("DELETE FROM stream WHERE id = ?1", [id])? > 0;
    change.commit()?;
    Ok(gone)
}

pub(super) fn update(
    db: &mut Connection,
    id: &str,
    change: impl FnOnce(&mut Stream),
) -> Result<Stream, CatalogError> {
    let work = db.transaction()?;
    let mut stream = one(&work, id)?.ok_or_else(|| CatalogError::Missing(id.to_owned()))?;
    change(&mut stream);
    id.clone_into(&mut stream.id);
    stream.updated_ms = unix_ms();
    write(&work, &stream)?;
    work.commit()?;
    Ok(stream)
}

fn write(db: &Connection, stream: &Stream) -> Result<(), CatalogError> {
    db.execute(
        &format!(
            "INSERT OR REPLACE INTO stream ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        ),
        params![
            stream.id,
            stream.title,
            stream.state.name(),
            serde_json::to_string(&stream.source)?,
            serde_json::to_string(&stream.profile)?,
            stream.error,
            int(stream.created_ms),
            int(stream.updated_ms),
            stream.live.as_ref().map(serde_json::to_string).transpose()?,
            stream.auth.as_ref().map(serde_json::to_string).transpose()?,
        ],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stream> {
    let wrong = |column: usize, why: String| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
    };
    let state: String = row.get(2)?;
    let source: String = row.get(3)?;
    let profile: String = row.get(4)?;
    let live: Option<String> = row.get(8)?;
    let auth: Option<String> = row.get(9)?;
    Ok(Stream {
        id: row.get(0)?,
        title: row.get(1)?,
        state: State::parse(&state).ok_or_else(|| wrong(2, format!("unknown state \"{state}\"")))?,
        source: serde_json::from_str(&source).map_err(|e| wrong(3, e.to_string()))?,
        profile: serde_json::from_str(&profile).map_err(|e| wrong(4, e.to_string()))?,
        live: live
            .map(|live| serde_json::from_str(&live))
            .transpose()
            .map_err(|e| wrong(8, e.to_string()))?,
        auth: auth
            .map(|auth| serde_json::from_str(&auth))
            .transpose()
            .map_err(|e| wrong(9, e.to_string()))?,
        error: row.get(5)?,
        created_ms: row.get::<_, i64>(6)?.unsigned_abs(),
        updated_ms: row.get::<_, i64>(7)?.unsigned_abs(),
    })
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
