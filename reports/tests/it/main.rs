//! The outputs, drawn from one fixture (`support`). One binary, so that the fixture is built once.

mod connections;
mod contrast;
mod failures;
mod gate;
mod html;
mod junit;
mod markdown;
mod stored;
mod streams;
mod support;
mod topics;
mod trend;
