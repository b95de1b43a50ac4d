//! Lists of objects, read item by item: of an item only the known fields are kept, and nothing of it for long. The
//! secrets among the others (download links, tokens, evidence) are passed over without a copy.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Fields, Key, ignore_scalars};

/// A list within an answer.
pub(super) struct List<'a> {
    /// The key it stands under.
    pub(super) name: &'static str,
    known: &'static [&'static str],
    take: &'a mut dyn FnMut(Fields),
    /// Whether it arrived in a known form.
    pub(super) arrived: bool,
    /// Whether it, or an item of it, arrived in no known form.
    pub(super) odd: bool,
}

impl<'a> List<'a> {
    /// Passes the known fields of each item on.
    pub(super) fn new(
        name: &'static str,
        known: &'static [&'static str],
        take: &'a mut dyn FnMut(Fields),
    ) -> Self {
        Self {
            name,
            known,
            take,
            arrived: false,
            odd: false,
        }
    }

    fn item(&mut self, item: Option<Fields>) {
        match item {
            Some(fields) => (self.take)(fields),
            None => self.odd = true,
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.arrived = true;
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.odd = true;
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.odd = true;
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.odd = true;
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.odd = true;
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.arrived = text.is_empty();
        self.odd |= !text.is_empty();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.arrived = true;
        while let Some(item) = seq.next_element_seed(Item(self.known, Fields::default()))? {
            self.item(item);
        }
        Ok(())
    }

    /// A map whose keys do not matter, or a PHP list with gaps.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.arrived = true;
        while map.next_key::<IgnoredAny>()?.is_some() {
            let item = map.next_value_seed(Item(self.known, Fields::default()))?;
            self.item(item);
        }
        Ok(())
    }
}

/// Reads the known fields of one item into what is empty before; `None` when it is not an object.
pub(super) struct Item(pub(super) &'static [&'static str], pub(super) Fields);

impl<'de> DeserializeSeed<'de> for Item {
    type Value = Option<Fields>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item {
    type Value = Option<Fields>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    ignore_scalars!(None);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self(known, mut fields) = self;
        while let Some(Key(key)) = map.next_key()? {
            fields.take(&mut map, &key, known.iter())?;
        }
        Ok(Some(fields))
    }
}
