//! Frames of a live stream, read as a workload describes them: where in a frame its messages stand, and what tells one
//! message from another.

use scenarios::{FrameShape, Vars};
use serde_json::Value;

use crate::{
    ledger::Message,
    owed::{Names, text_of},
};

/// A frame as far as it is followed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) messages: Vec<Message>,
    pub(super) position: Option<String>,
}

/// Reads frames.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    shape: FrameShape,
    /// A condition of a message speaks of none.
    no_vars: Vars,
    names: Names,
}

impl Reader {
    pub(super) fn new(shape: FrameShape) -> Self {
        Self {
            shape,
            no_vars: Vars::default(),
            names: Names::default(),
        }
    }

    /// The hashes by which it knows ids.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The messages of a frame; none in one that is no JSON, as a greeting may be.
    pub(super) fn read(&self, text: &str) -> Frame {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return Frame::default();
        };
        let at = |pointer: &Option<String>| pointer.as_ref().and_then(|pointer| frame.pointer(pointer));
        let messages = match &self.shape.each {
            None => self.message(&frame).into_iter().collect(),
            each => at(each)
                .and_then(Value::as_array)
                .map(|list| list.iter().filter_map(|one| self.message(one)).collect())
                .unwrap_or_default(),
        };
        Frame {
            messages,
            position: at(&self.shape.position).map(text_of),
        }
    }

    fn message(&self, message: &Value) -> Option<Message> {
        let when = &self.shape.when;
        let is_meant = when
            .iter()
            .all(|(pointer, expected)| expected.holds(message.pointer(pointer), &self.no_vars));
        let id = message
            .pointer(&self.shape.id)
            .filter(|_| is_meant)
            .filter(|id| !id.is_null())?;
        let number = |pointer: &String| message.pointer(pointer)?.as_i64();
        let group = |pointer: &String| Some(self.names.hash(&text_of(message.pointer(pointer)?)));
        let order = self.shape.sequence.as_ref().and_then(number).map(|number| {
            let group = self.shape.group.as_ref().and_then(group);
            (group.unwrap_or_default(), number)
        });
        Some(Message {
            id: self.names.hash(&text_of(id)),
            order,
        })
    }
}

#[cfg(test)]
mod tests {
    use scenarios::Expected;

    use super::*;

    fn shape() -> FrameShape {
        FrameShape {
            each: Some("/events".to_owned()),
            when: vec![("/kind".to_owned(), Expected::Is("trip".into()))],
            id: "/id".to_owned(),
            sequence: Some("/version".to_owned()),
            group: Some("/driver".to_owned()),
            position: Some("/position".to_owned()),
        }
    }

    #[test]
    fn messages_are_found_where_the_workload_says() {
        let reader = Reader::new(shape());
        let text = r#"{"position":"7.1","events":[{"kind":"trip","id":"a","driver":3,"version":5},
            {"kind":"trip","id":12},{"kind":"claim","id":13},{"kind":"trip","other":1}]}"#;
        let frame = reader.read(text);
        assert_eq!(frame.position.as_deref(), Some("7.1"));
        let expected = [
            Message {
                id: reader.names.hash("a"),
                order: Some((reader.names.hash("3"), 5)),
            },
            Message {
                id: reader.names.hash("12"),
                order: None,
            },
        ];
        assert_eq!(frame.messages, expected);
    }

    #[test]
    fn a_frame_may_be_one_message_or_none() {
        let reader = Reader::new(FrameShape {
            id: "/id".to_owned(),
            ..FrameShape::default()
        });
        assert_eq!(reader.read(r#"{"id":1}"#).messages.len(), 1);
        for none in ["hello", "{}", r#"{"id":null}"#, "[1]", ""] {
            assert_eq!(reader.read(none), Frame::default(), "{none}");
        }
        assert_eq!(Reader::new(shape()).read(r#"{"events":{}}"#), Frame::default());
    }
}
