//! Records of a topic, read as a workload describes them: by which id, number and group they are known.

use std::cell::OnceCell;

use rdkafka::message::Headers as _;
use scenarios::{ProtobufRead, RecordForm, RecordPlace, Vars};
use serde_json::Value;
use uuid::Uuid;

use super::protobuf::{self, Field};
use crate::{
    ledger::Message,
    owed::{Names, text_of},
};

/// Reads records.
#[derive(Debug)]
pub(super) struct Reader {
    forms: Vec<RecordForm>,
    /// A condition of a record speaks of none.
    no_vars: Vars,
    names: Names,
}

/// A record whose value is read as JSON when that is first asked for.
struct Opened<'r, R> {
    record: &'r R,
    json: OnceCell<Option<Value>>,
}

impl Reader {
    pub(super) fn new(forms: Vec<RecordForm>) -> Self {
        Self {
            forms,
            no_vars: Vars::default(),
            names: Names::default(),
        }
    }

    /// The hashes by which it knows ids.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The record by the first form that fits; none where none does.
    pub(super) fn read<R: rdkafka::Message>(&self, record: &R) -> Option<Message> {
        let opened = Opened {
            record,
            json: OnceCell::new(),
        };
        self.forms.iter().find_map(|form| self.read_as(form, &opened))
    }

    fn read_as<R: rdkafka::Message>(&self, form: &RecordForm, record: &Opened<'_, R>) -> Option<Message> {
        let has_header = |(name, text): &(String, String)| record.header(name).is_some_and(|found| found == *text);
        let has_value = |(pointer, expected): &(String, scenarios::Expected)| {
            let found = record.json().and_then(|json| json.pointer(pointer));
            expected.holds(found, &self.no_vars)
        };
        if !form.when_headers.iter().all(has_header) || !form.when.iter().all(has_value) {
            return None;
        }
        let id = record.text(&form.id)?;
        let number = form.sequence.as_ref().and_then(|place| record.number(place));
        let group = || record.text(&form.group).map(|group| self.names.hash(&group));
        Some(Message {
            id: self.names.hash(&id),
            order: number.map(|number| (group().unwrap_or_default(), number)),
        })
    }
}

impl<R: rdkafka::Message> Opened<'_, R> {
    fn json(&self) -> Option<&Value> {
        let read = || serde_json::from_slice(self.record.payload()?).ok();
        self.json.get_or_init(read).as_ref()
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.record.headers()?.iter();
        let value = headers.find(|header| header.key == name)?.value?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    fn text(&self, place: &RecordPlace) -> Option<String> {
        match place {
            RecordPlace::Json(pointer) => {
                let found = self.json()?.pointer(pointer)?;
                (!found.is_null()).then(|| text_of(found))
            }
            RecordPlace::Header(name) => self.header(name),
            RecordPlace::Key => Some(String::from_utf8_lossy(self.record.key()?).into_owned()),
            RecordPlace::Protobuf { fields, read } => {
                text_of_field(protobuf::field(self.record.payload()?, fields)?, *read)
            }
        }
    }

    fn number(&self, place: &RecordPlace) -> Option<i64> {
        self.text(place)?.parse().ok()
    }
}

fn text_of_field(field: Field<'_>, read: ProtobufRead) -> Option<String> {
    match (read, field) {
        // A negative number is written as the unsigned one of the same bits.
        (ProtobufRead::Number, Field::Number(number)) => Some(number.cast_signed().to_string()),
        (ProtobufRead::Text, Field::Bytes(bytes)) => String::from_utf8(bytes.to_owned()).ok(),
        (ProtobufRead::Uuid, Field::Bytes(bytes)) => Uuid::from_slice(bytes).ok().map(|uuid| uuid.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage, Timestamp};
    use scenarios::Expected;

    use super::*;

    fn record(key: &str, schema: &str, value: &[u8]) -> OwnedMessage {
        let headers = OwnedHeaders::new().insert(Header {
            key: "schema",
            value: Some(schema),
        });
        OwnedMessage::new(
            Some(value.to_owned()),
            Some(key.as_bytes().to_owned()),
            "t".to_owned(),
            Timestamp::NotAvailable,
            0,
            0,
            Some(headers),
        )
    }

    fn forms() -> Vec<RecordForm> {
        let json = RecordForm {
            when: vec![("/kind".to_owned(), Expected::Is("trip".into()))],
            when_headers: vec![("schema".to_owned(), "json".to_owned())],
            id: RecordPlace::Json("/id".to_owned()),
            sequence: Some(RecordPlace::Json("/version".to_owned())),
            group: RecordPlace::Key,
        };
        let protobuf = RecordForm {
            when: vec![],
            when_headers: vec![],
            id: RecordPlace::Protobuf {
                fields: vec![2, 1],
                read: ProtobufRead::Uuid,
            },
            sequence: Some(RecordPlace::Header("schema".to_owned())),
            group: RecordPlace::Key,
        };
        vec![json, protobuf]
    }

    #[test]
    fn the_first_form_that_fits_a_record_counts() {
        let reader = Reader::new(forms());
        let (id, group) = (reader.names.hash("a"), reader.names.hash("7"));
        let json = br#"{"kind":"trip","id":"a","version":3}"#;
        let expected = Message {
            id,
            order: Some((group, 3)),
        };
        assert_eq!(reader.read(&record("7", "json", json)), Some(expected));
        for (schema, value) in [
            ("text", &json[..]),
            ("json", br#"{"kind":"claim","id":"a"}"#),
            ("json", br#"{"kind":"trip","id":null}"#),
            ("json", b"hello"),
        ] {
            assert_eq!(reader.read(&record("7", schema, value)), None, "{schema} {value:?}");
        }
        let mut bytes = vec![0x12, 18, 0x0a, 16];
        bytes.extend(1..=16);
        let expected = Message {
            id: reader.names.hash("01020304-0506-0708-090a-0b0c0d0e0f10"),
            order: Some((group, 12)),
        };
        assert_eq!(reader.read(&record("7", "12", &bytes)), Some(expected));
    }
}
