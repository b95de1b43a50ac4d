//! A figment provider for YAML. The one of figment depends on an unmaintained parser.

use std::fmt;

use figment::value::{Dict, Empty, Map, Tag, Value};
use figment::{Error, Metadata, Profile, Provider};
use serde::de::Error as _;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess as _, Visitor,
};

/// A parsed YAML document. Scalars keep their original text, in keys and in values, because `1e3` or `True` may be a
/// name. The reader of a value converts it to a number or flag.
pub struct Yaml(pub Dict);

/// A syntax error. It never contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// The line of the error, if known.
    pub line: Option<usize>,
}

impl Yaml {
    /// Parses a document. An empty one has no keys.
    pub fn parse(text: &str) -> Result<Self, YamlError> {
        match value(text)? {
            Value::Empty(..) => Ok(Self(Dict::new())),
            Value::Dict(_, dict) => Ok(Self(dict)),
            _ => Err(YamlError { line: Some(1) }),
        }
    }
}

/// Parses a document of any type.
pub fn value(text: &str) -> Result<Value, YamlError> {
    // The first pass finds scalars, the second reads them as text.
    let read = || {
        let shape: Shape = yaml_serde::from_str(text)?;
        Node(&shape).deserialize(yaml_serde::Deserializer::from_str(text))
    };
    read().map_err(|error: yaml_serde::Error| YamlError {
        line: error.location().map(|location| location.line()),
    })
}

/// The position of scalars in a node. It ignores the values that the parser derives from them: to the parser, the keys
/// `1.5` and `1.50` are the same.
enum Shape {
    Null,
    Scalar,
    /// The shapes of the values, in the order of their keys.
    Mapping(Vec<Shape>),
    Sequence(Vec<Shape>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(node: D) -> Result<Self, D::Error> {
        node.deserialize_any(ShapeVisitor)
    }
}

impl Shape {
    /// The shapes of the values of a mapping or of the items of a sequence.
    fn children(&self) -> &[Self] {
        match self {
            Self::Mapping(shapes) | Self::Sequence(shapes) => shapes,
            Self::Null | Self::Scalar => &[],
        }
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any node")
    }

    /// An empty document.
    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Shape::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut values = Vec::new();
        while let Some((IgnoredAny, value)) = map.next_entry()? {
            values.push(value);
        }
        Ok(Shape::Mapping(values))
    }

    /// A tagged node has the shape of the node without its tag.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Shape, A::Error> {
        let (IgnoredAny, node) = tagged.variant()?;
        node.newtype_variant()
    }
}

/// A deserialiser for a node of this shape.
struct Node<'a>(&'a Shape);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, node: D) -> Result<Value, D::Error> {
        match self.0 {
            Shape::Null => {
                IgnoredAny::deserialize(node)?;
                Ok(Value::Empty(Tag::Default, Empty::None))
            }
            Shape::Mapping(_) => node.deserialize_map(self),
            Shape::Sequence(_) => node.deserialize_seq(self),
            Shape::Scalar => String::deserialize(node).map(Value::from),
        }
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or a sequence")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut shapes = self.0.children().iter();
        let mut dict = Dict::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Node(shapes.next().unwrap_or(&Shape::Null)))?;
            if dict.insert(key, value).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        match dict.remove("<<") {
            None => {}
            Some(Value::Dict(_, merged)) => merge(&mut dict, merged),
            Some(Value::Array(_, all)) => {
                for merged in all {
                    let merged = merged.into_dict();
                    merge(&mut dict, merged.ok_or_else(|| not_mergeable::<A>())?);
                }
            }
            Some(_) => return Err(not_mergeable::<A>()),
        }
        Ok(dict.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        for shape in self.0.children() {
            items.extend(seq.next_element_seed(Node(shape))?);
        }
        Ok(items.into())
    }
}

/// Applies the merge key of YAML 1.1. Keys of the mapping itself take precedence, then those of earlier merged
/// mappings.
fn merge(dict: &mut Dict, merged: Dict) {
    for (key, value) in merged {
        dict.entry(key).or_insert(value);
    }
}

fn not_mergeable<'de, A: MapAccess<'de>>() -> A::Error {
    A::Error::custom("the value of a merge key is not a mapping")
}

impl Provider for Yaml {
    fn metadata(&self) -> Metadata {
        Metadata::named("YAML file")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Dict {
        let read = Yaml::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        read.0
    }

    #[test]
    fn scalars_keep_their_original_text() {
        for scalar in [
            "0x10",
            "1e3",
            "1.50",
            "True",
            "0b11",
            "0o17",
            "007",
            "+1",
            ".5",
            "-0",
            "1_000",
            "yes",
            "FALSE",
            ".inf",
            "1e999",
            "2026-01-01",
            "1:30",
            "12345678901234567890123456789012345678901234",
        ] {
            let read = read(&format!(
                "{scalar}: {scalar}\nlist: [{scalar}, \"{scalar}\"]\n"
            ));
            let text = |value: &Value| value.as_str().map(str::to_owned);
            assert_eq!(text(&read[scalar]).as_deref(), Some(scalar));
            let list = read["list"].as_array().expect("a list");
            assert!(
                list.iter().all(|item| item.as_str() == Some(scalar)),
                "{scalar}"
            );
        }
        let read =
            read("~: 1\nnothing: ~\nneither:\n\"\": \"\"\ntagged: !y 1\nlist: !y [!z {a: 1}]\n");
        assert_eq!(read["~"].as_str(), Some("1"));
        let list = read["list"].as_array().expect("a list");
        assert!(list[0].as_dict().is_some());
        assert!(matches!(read["nothing"], Value::Empty(..)));
        assert!(matches!(read["neither"], Value::Empty(..)));
        assert_eq!(read[""].as_str(), Some(""));
        assert_eq!(read["tagged"].as_str(), Some("1"));
    }

    #[test]
    fn keys_with_different_text_are_different() {
        for (one, other) in [
            ("1.5", "1.50"),
            ("16", "0x10"),
            ("true", "True"),
            ("~", "null"),
            ("1", "1.0"),
        ] {
            let read = read(&format!("{one}: a\n{other}: [b]\n"));
            assert_eq!(read[one].as_str(), Some("a"));
            assert!(read[other].as_array().is_some());
        }
    }

    #[test]
    fn merge_keys_add_keys_without_overriding() {
        let read = read(
            "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\none: {<<: *a, x: 0}\nboth: {<<: [*a, *b], x: 0}\nlist: [{<<: *a}]\n",
        );
        let shown = |key: &str| {
            let dict = read[key].as_dict().expect("a mapping");
            let pairs = dict
                .iter()
                .map(|(key, value)| format!("{key}{}", value.as_str().unwrap_or_default()));
            pairs.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            (shown("one"), shown("both")),
            ("x0 y1".to_owned(), "x0 y1 z2".to_owned())
        );
        for wrong in [
            "{<<: 1}",
            "{<<: [1]}",
            "{a: 1, a: 2}",
            "{1: x, \"1\": y}",
            "[a]",
            "a",
            "{[a]: 1}",
            "{a: *b}",
        ] {
            assert!(Yaml::parse(wrong).is_err(), "{wrong}");
        }
    }
}
