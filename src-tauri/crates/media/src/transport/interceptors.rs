//! What the stack would keep to itself: requests for key frames and for lost packets, and reports on what arrived, reach
//! our own code.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::receive::ReceiveCounts;
use super::uplink::Uplink;

/// Passes everything on, and marks feedback of receivers as meant for the application.
pub(super) struct ForwardFeedback {
    uplink: Arc<Uplink>,
    counts: Arc<ReceiveCounts>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl ForwardFeedback {
    pub fn new(uplink: Arc<Uplink>, counts: Arc<ReceiveCounts>) -> Self {
        Self {
            uplink,
            counts,
            read: VecDeque::new(),
            write: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for ForwardFeedback {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &packet.message.packet {
            for report in packets {
                if report.as_any().is::<SenderReport>() {
                    self.counts.reports.fetch_add(1, Relaxed);
                }
                if let Some(report) = report.as_any().downcast_ref::<TransportLayerCc>() {
                    self.uplink.report(report, packet.now);
                }
            }
            let wanted: Vec<_> = packets
                .iter()
                .filter(|packet| {
                    let packet = packet.as_any();
                    packet.is::<PictureLossIndication>()
                        || packet.is::<FullIntraRequest>()
                        || packet.is::<TransportLayerNack>()
                })
                .cloned()
                .collect();
            // Reports were used by the interceptors before this one.
            if wanted.is_empty() {
                return Ok(());
            }
            packet.message.packet = Packet::Rtcp(wanted);
            packet.message.add(Attribute::DeliverToApplication);
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.write.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front()
    }
}

impl Interceptor for ForwardFeedback {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
