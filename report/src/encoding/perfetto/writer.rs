//! Writes tracks and events as Perfetto's packets.
//!
//! **Invariant.** A name is written once, with the event that uses it first; times never go back
//! on a track.

use super::proto::{
    CounterDescriptor, DebugAnnotation, EventName, InternedData, Trace, TracePacket, TrackDescriptor, TrackEvent,
};
use prost::Message;
use std::collections::BTreeMap;

/// All packets belong to one sequence.
const SEQUENCE: u32 = 1;
/// Names that were known before are not known any more: the first packet.
const CLEARED: u32 = 1;
/// Names of earlier packets are used.
const NEEDED: u32 = 2;
/// Children in the order in which they were made.
const BY_RANK: i32 = 3;

/// A track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Track(u64);

/// What an event says besides its name.
pub(super) enum Note<'a> {
    Number(&'a str, u64),
    Text(&'a str, String),
}

/// A trace that is being written.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
    names: BTreeMap<String, u64>,
    tracks: u64,
}

impl Writer {
    /// The trace.
    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// A track of slices.
    pub(super) fn track(&mut self, parent: Option<Track>, name: &str) -> Track {
        self.described(parent, name, None)
    }

    /// A track of numbers.
    pub(super) fn counter(&mut self, parent: Option<Track>, name: &str, unit: &str) -> Track {
        self.described(parent, name, Some(CounterDescriptor { unit_name: Some(unit.to_owned()) }))
    }

    fn described(&mut self, parent: Option<Track>, name: &str, counter: Option<CounterDescriptor>) -> Track {
        self.tracks += 1;
        let track_descriptor = TrackDescriptor {
            uuid: Some(self.tracks),
            name: Some(name.to_owned()),
            parent_uuid: parent.map(|p| p.0),
            child_ordering: counter.is_none().then_some(BY_RANK),
            counter,
            sibling_order_rank: Some(i32::try_from(self.tracks).unwrap_or(i32::MAX)),
        };
        self.packet(TracePacket { track_descriptor: Some(track_descriptor), ..TracePacket::default() });
        Track(self.tracks)
    }

    /// A slice begins.
    pub(super) fn begin(&mut self, at: u64, track: Track, name: &str, notes: &[Note<'_>]) {
        self.named(at, track, 1, name, notes);
    }

    /// The innermost slice of the track ends.
    pub(super) fn end(&mut self, at: u64, track: Track) {
        self.event(at, TrackEvent { r#type: Some(2), track_uuid: Some(track.0), ..TrackEvent::default() }, None);
    }

    /// Something without a length.
    pub(super) fn instant(&mut self, at: u64, track: Track, name: &str) {
        self.named(at, track, 3, name, &[]);
    }

    /// The value of a counter from now on.
    pub(super) fn value(&mut self, at: u64, track: Track, value: u64) {
        let counter_value = Some(i64::try_from(value).unwrap_or(i64::MAX));
        let event = TrackEvent { r#type: Some(4), track_uuid: Some(track.0), counter_value, ..TrackEvent::default() };
        self.event(at, event, None);
    }

    fn named(&mut self, at: u64, track: Track, kind: i32, name: &str, notes: &[Note<'_>]) {
        let (iid, new) = match self.names.get(name) {
            Some(iid) => (*iid, None),
            None => {
                let iid = self.names.len() as u64 + 1;
                self.names.insert(name.to_owned(), iid);
                let event_name = EventName { iid: Some(iid), name: Some(name.to_owned()) };
                (iid, Some(InternedData { event_names: vec![event_name] }))
            }
        };
        let debug_annotations = notes.iter().map(annotation).collect();
        let (name_iid, track_uuid) = (Some(iid), Some(track.0));
        self.event(
            at,
            TrackEvent { debug_annotations, r#type: Some(kind), name_iid, track_uuid, counter_value: None },
            new,
        );
    }

    fn event(&mut self, at: u64, event: TrackEvent, interned_data: Option<InternedData>) {
        self.packet(TracePacket {
            timestamp: Some(at),
            track_event: Some(event),
            interned_data,
            sequence_flags: Some(NEEDED),
            ..TracePacket::default()
        });
    }

    fn packet(&mut self, mut packet: TracePacket) {
        packet.trusted_packet_sequence_id = Some(SEQUENCE);
        if self.out.is_empty() {
            packet.sequence_flags = Some(CLEARED);
        }
        let packet = vec![packet];
        self.out.extend(Trace { packet }.encode_to_vec());
    }
}

fn annotation(note: &Note<'_>) -> DebugAnnotation {
    let (name, uint_value, string_value) = match note {
        Note::Number(name, value) => (*name, Some(*value), None),
        Note::Text(name, text) => (*name, None, Some(text.clone())),
    };
    DebugAnnotation { uint_value, string_value, name: Some(name.to_owned()) }
}
