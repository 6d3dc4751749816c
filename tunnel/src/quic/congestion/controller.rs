//! The model as quinn's controller.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;

use super::Model;

/// No trip takes longer: the session would be over (9.5 s). What seems to is a clock that jumped, and says nothing of the path.
const LONGEST_TRIP: Duration = Duration::from_secs(10);

#[expect(
    clippy::disallowed_types,
    reason = "quinn's trait hands the time over in it; nothing here reads a clock"
)]
type Moment = std::time::Instant;

/// Makes controllers of the delivery rate.
#[derive(Debug)]
pub(super) struct DeliveryRateConfig;

impl ControllerFactory for DeliveryRateConfig {
    fn build(self: Arc<Self>, now: Moment, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(DeliveryRate {
            epoch: now,
            model: Model::of_new_path(current_mtu.into()),
        })
    }
}

/// The controller of one path.
#[derive(Clone, Debug)]
struct DeliveryRate {
    /// The model counts time from here.
    epoch: Moment,
    model: Model,
}

impl DeliveryRate {
    fn since(&self, moment: Moment) -> Duration {
        moment.saturating_duration_since(self.epoch)
    }
}

impl Controller for DeliveryRate {
    fn on_ack(
        &mut self,
        now: Moment,
        sent: Moment,
        bytes: u64,
        _app_limited: bool,
        _rtt: &RttEstimator,
    ) {
        let (now, sent) = (self.since(now), self.since(sent));
        if now.saturating_sub(sent) <= LONGEST_TRIP {
            self.model.acknowledge(now, sent, bytes);
        }
    }

    fn on_end_acks(
        &mut self,
        now: Moment,
        in_flight: u64,
        app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        let now = self.since(now);
        self.model.settle(now, in_flight, app_limited);
    }

    fn on_congestion_event(
        &mut self,
        _now: Moment,
        _sent: Moment,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        if is_persistent_congestion {
            self.model.start_over();
        } else if lost_bytes == 0 {
            self.model.mark();
        } else {
            self.model.lose(lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.model.set_datagram(new_mtu.into());
    }

    fn window(&self) -> u64 {
        self.model.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.model.window();
        metrics.pacing_rate = Some(self.model.rate().bits());
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.model.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
