//! A topology as plans have it: a shape in a word, or a table with every rack. What is read is checked; what is written has every rack.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::shape::SPINES;
use super::subnets::Cidr;
use super::{Latency, Rack, Shape, Topology};

/// What stands in a plan.
pub(super) enum Written {
    Shape(String),
    Table(Table),
}

/// A topology rack by rack, or by its shape with other settings.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TopologyTable")]
pub(super) struct Table {
    /// `3x2` instead of `racks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<String>,
    /// The network that subnets are carved from; 10.77.0.0/16 if missing.
    #[serde(default)]
    cidr: Cidr,
    /// How many spines join the leaves; 2 if missing.
    #[serde(default = "spines")]
    spines: u32,
    /// How far apart domains are, in microseconds one way.
    #[serde(default, skip_serializing_if = "Latency::is_none")]
    latency_us: Latency,
    /// The racks, with all nodes.
    #[serde(default)]
    racks: Vec<Rack>,
}

fn spines() -> u32 {
    SPINES
}

/// The zone of racks that name none.
pub(super) fn only_zone() -> String {
    "zone1".into()
}

/// The region of racks that name none.
pub(super) fn only_region() -> String {
    "region1".into()
}

impl<'de> Deserialize<'de> for Written {
    /// Not an untagged enum: its only message is that nothing matched.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Written, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Written;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a shape such as \"3x2\", or a table with `racks`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Written, E> {
                Ok(Written::Shape(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(Written::Table)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl TryFrom<Written> for Topology {
    type Error = String;

    fn try_from(written: Written) -> Result<Topology, String> {
        let topology = match written {
            Written::Shape(shape) => shape.parse::<Shape>()?.into(),
            Written::Table(table) => {
                let racks = match (table.shape, table.racks) {
                    (Some(_), racks) if !racks.is_empty() => return Err("a topology has a `shape` or `racks`, not both".into()),
                    (Some(shape), _) => Topology::from(shape.parse::<Shape>()?).racks,
                    (None, racks) => racks,
                };
                Topology {
                    cidr: table.cidr,
                    spines: table.spines,
                    latency: table.latency_us,
                    racks,
                }
            }
        };
        topology.check()?;
        Ok(topology)
    }
}

impl From<Topology> for Table {
    fn from(topology: Topology) -> Table {
        Table {
            shape: None,
            cidr: topology.cidr,
            spines: topology.spines,
            latency_us: topology.latency,
            racks: topology.racks,
        }
    }
}

impl JsonSchema for Topology {
    fn schema_name() -> Cow<'static, str> {
        "Topology".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Table>();
        json_schema!({
            "description": "How the nodes are spread over racks, zones and regions.",
            "anyOf": [{ "type": "string", "pattern": "^[0-9]+(x[0-9]+){1,3}$" }, table],
        })
    }
}
