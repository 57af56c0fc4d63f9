//! Lenient values: whatever stands there is taken, so that one wrong type does not hide the other problems.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::de::value::{Error as ValueError, MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;
use toml::de::DeTable;

/// A setting that may be absent.
#[derive(Debug)]
pub(crate) struct Field<T>(Option<Spanned<Loose<T>>>);

/// An array, each element with its span.
#[derive(Debug)]
pub(crate) struct List<T>(Vec<Spanned<Loose<T>>>);

/// A value of the expected type, or of another one.
#[derive(Debug)]
pub(crate) enum Loose<T> {
    Right(T),
    Wrong(Found),
}

/// Which type stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Array,
    Boolean,
    Float,
    Integer,
    String,
    Table,
}

/// A type that a setting may have.
pub(crate) trait Shape {
    /// What stands in the file if it is right.
    const KIND: Found;
}

/// A table whose keys are names that the operator chose, in the order of the file.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(Spanned<String>, Spanned<Loose<T>>)>);

/// Makes raw structs tables.
macro_rules! tables {
    ($($table:ty),+ $(,)?) => {
        $(impl $crate::config::raw::loose::Shape for $table {
            const KIND: $crate::config::raw::loose::Found = $crate::config::raw::loose::Found::Table;
        })+
    };
}
pub(crate) use tables;

impl Shape for String {
    const KIND: Found = Found::String;
}

impl Shape for bool {
    const KIND: Found = Found::Boolean;
}

impl Shape for i64 {
    const KIND: Found = Found::Integer;
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Field<T> {
    type Target = Option<Spanned<Loose<T>>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for Field<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<'de, T: Deserialize<'de> + Shape> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self)
    }
}

impl<T> Deref for List<T> {
    type Target = Vec<Spanned<Loose<T>>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<'de, T: Deserialize<'de> + Shape> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

impl<T> Shape for List<T> {
    const KIND: Found = Found::Array;
}

impl<T> Shape for Named<T> {
    const KIND: Found = Found::Table;
}

/// The value, if it is there and of the right type, to be placed.
pub(crate) fn right_mut<T>(field: &mut Field<T>) -> Option<&mut T> {
    match field.as_mut()?.get_mut() {
        Loose::Right(value) => Some(value),
        Loose::Wrong(_) => None,
    }
}

/// The table at a key.
pub(crate) fn sub_table<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<&'t DeTable<'i>> {
    table.get(key).and_then(|value| value.get_ref().as_table())
}

impl<T> Named<T> {
    /// Gives the names their places, and the order of the file: the parser sorts by name, and spans of keys do not get
    /// through `serde_ignored`.
    pub(crate) fn place(&mut self, table: &DeTable<'_>) {
        for (name, _) in &mut self.0 {
            if let Some((key, _)) = table.get_key_value(name.get_ref().as_str()) {
                *name = Spanned::new(key.span(), name.get_ref().clone());
            }
        }
        self.0.sort_by_key(|(name, _)| name.span().start);
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Array => "an array",
            Self::Boolean => "a boolean",
            Self::Float => "a float",
            Self::Integer => "an integer",
            Self::String => "a string",
            Self::Table => "a table",
        })
    }
}

impl<'de, T: Deserialize<'de> + Shape> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor(PhantomData))
    }
}

/// Passes on what is of the right type, and notes the type of what is not.
struct LooseVisitor<T>(PhantomData<T>);

impl<T: Shape> LooseVisitor<T> {
    fn offer<'de, V, E>(value: V, found: Found) -> Result<Loose<T>, E>
    where
        T: Deserialize<'de>,
        V: IntoDeserializer<'de, E>,
        E: serde::de::Error,
    {
        if T::KIND == found {
            T::deserialize(value.into_deserializer()).map(Loose::Right)
        } else {
            Ok(Loose::Wrong(found))
        }
    }
}

impl<'de, T: Deserialize<'de> + Shape> Visitor<'de> for LooseVisitor<T> {
    type Value = Loose<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Self::offer(value, Found::Boolean)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Self::offer(value, Found::Integer)
    }

    // Integers beyond 64 bits with a sign: right in type, of no use.
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Loose::Wrong(Found::Integer))
    }

    fn visit_i128<E>(self, _: i128) -> Result<Self::Value, E> {
        Ok(Loose::Wrong(Found::Integer))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Loose::Wrong(Found::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Loose::Wrong(Found::Float))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Self::offer(value, Found::String)
    }

    // A container of the wrong type is left unread: only its type is said.
    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Self::Value, A::Error> {
        if T::KIND != Found::Array {
            return Ok(Loose::Wrong(Found::Array));
        }
        T::deserialize(SeqAccessDeserializer::new(sequence)).map(Loose::Right)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        if T::KIND != Found::Table {
            return Ok(Loose::Wrong(Found::Table));
        }
        T::deserialize(MapAccessDeserializer::new(map)).map(Loose::Right)
    }
}

impl<'de, T: Deserialize<'de> + Shape> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Shape> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((name, table)) = map.next_entry::<String, Spanned<Loose<T>>>()? {
            entries.push((Spanned::new(0..0, name), table));
        }
        Ok(Named(entries))
    }
}

/// The keys of a raw struct, as serde's derive passes them on: the one list of them that cannot be out of date.
pub(crate) fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // The error is how the spy ends; what matters is what it has seen by then.
    let _ = T::deserialize(FieldSpy(&mut fields));
    fields
}

struct FieldSpy<'f>(&'f mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldSpy<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only structs have fields"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
