//! Running a statement and reading its rows.
//!
//! sqlx does this with `query_as`, but compiles the whole way from the socket to the last row anew for every type of
//! row. Here that way is compiled once, because it ends in plain rows, which are read afterwards.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Decode, FromRow, PgExecutor, Postgres, Type};

use super::StoreError;
use super::error::Doing as _;

/// A type that can be read from a row.
pub(super) trait Columns: for<'r> FromRow<'r, PgRow> {}

impl<T: for<'r> FromRow<'r, PgRow>> Columns for T {}

/// A type that can be read from a column.
pub(super) trait Column: for<'r> Decode<'r, Postgres> + Type<Postgres> {}

impl<T: for<'r> Decode<'r, Postgres> + Type<Postgres>> Column for T {}

type Result<T> = std::result::Result<T, StoreError>;

/// A statement with its arguments, ready to run; `doing` says what it is for when it fails, as a verb phrase.
pub(super) trait Ask {
    /// Runs the statement for its effect.
    async fn run<'c>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<()>;

    /// Every row.
    async fn all<'c, T: Columns>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<Vec<T>>;

    /// The row, if there is one.
    async fn find<'c, T: Columns>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<Option<T>>;

    /// The row, which MUST be there.
    async fn one<'c, T: Columns>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<T>;

    /// The first column of the row, if there is one.
    async fn find_value<'c, T: Column>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<Option<T>>;

    /// The first column of the row, which MUST be there.
    async fn value<'c, T: Column>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<T>;
}

impl Ask for Query<'_, Postgres, PgArguments> {
    async fn run<'c>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<()> {
        db.execute(self).await.doing(doing)?;
        Ok(())
    }

    async fn all<'c, T: Columns>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<Vec<T>> {
        let rows = db.fetch_all(self).await.doing(doing)?;
        rows.iter().map(T::from_row).collect::<sqlx::Result<_>>().doing(doing)
    }

    async fn find<'c, T: Columns>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<Option<T>> {
        let row = db.fetch_optional(self).await.doing(doing)?;
        row.as_ref().map(T::from_row).transpose().doing(doing)
    }

    async fn one<'c, T: Columns>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<T> {
        let row = db.fetch_one(self).await.doing(doing)?;
        T::from_row(&row).doing(doing)
    }

    async fn find_value<'c, T: Column>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<Option<T>> {
        let row: Option<(T,)> = self.find(db, doing).await?;
        Ok(row.map(|(value,)| value))
    }

    async fn value<'c, T: Column>(self, db: impl PgExecutor<'c>, doing: &'static str) -> Result<T> {
        let (value,) = self.one(db, doing).await?;
        Ok(value)
    }
}
