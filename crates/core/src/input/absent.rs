//! Fields that are null. A null counts as absent, in every field of every body alike.

use serde::{Deserialize, Deserializer};

/// Reads a field whose null counts as absent: it becomes the type's default value. It is for fields
/// that are not an `Option`, in types whose absent fields have default values.
///
/// # Errors
/// When the field is of the wrong type.
pub fn null_is_absent<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
