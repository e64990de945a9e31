//! How our types are written in columns.

use rusqlite::{
    Result, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use uuid::Uuid;

use crate::{
    clock::UnixMs,
    ids::{ChannelName, NotificationId, TenantId},
    store::{EventKind, Priority, State},
};

impl ToSql for State {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self as i64))
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(match value.as_i64()? {
            0 => Self::Queued,
            1 => Self::Sending,
            2 => Self::Retrying,
            3 => Self::Delivered,
            4 => Self::Dead,
            5 => Self::Cancelled,
            other => return Err(FromSqlError::OutOfRange(other)),
        })
    }
}

impl ToSql for Priority {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self as i64))
    }
}

impl FromSql for Priority {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(match value.as_i64()? {
            0 => Self::Urgent,
            1 => Self::High,
            2 => Self::Normal,
            3 => Self::Low,
            other => return Err(FromSqlError::OutOfRange(other)),
        })
    }
}

impl ToSql for EventKind {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self as i64))
    }
}

impl FromSql for EventKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let found = Self::ALL.into_iter().find(|kind| *kind as i64 == number);
        found.ok_or(FromSqlError::OutOfRange(number))
    }
}

impl ToSql for UnixMs {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for UnixMs {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

impl ToSql for ChannelName {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

impl FromSql for ChannelName {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(FromSqlError::other)
    }
}

fn uuid(value: ValueRef<'_>) -> FromSqlResult<Uuid> {
    Uuid::from_slice(value.as_blob()?).map_err(FromSqlError::other)
}

impl ToSql for TenantId {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.as_bytes().as_slice()))
    }
}

impl FromSql for TenantId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        uuid(value).map(Self)
    }
}

impl ToSql for NotificationId {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.as_bytes().as_slice()))
    }
}

impl FromSql for NotificationId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        uuid(value).map(Self)
    }
}
