// What the pages' clock makes of the server's responses. `cargo xtask test` runs this with Node's own test runner.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../../static/assets/clock.js";

/** Server time minus device time, in ms: what the clock has to find out. */
const DIFFERENCE = 1_000_000;

/** Tells `clock` of a response that left the server exactly in the middle of its way. */
function respond(clock, sent, got, difference = DIFFERENCE) {
  clock.learn((sent + got) / 2 + difference, 0, sent, got);
}

const near = (actual, expected, tolerance) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`);

test("a_clock_without_a_response_knows_no_time", () => {
  assert.equal(new Clock().timeAt(5), null);
});

test("one_response_tells_the_time_to_half_its_way", () => {
  const clock = new Clock();
  // The server read its clock just before the response came: the worst case.
  clock.learn(1100 + DIFFERENCE, 0, 1000, 1100);
  near(clock.timeAt(2000), 2000 + DIFFERENCE, 50);
});

test("a_slow_response_does_not_spoil_what_a_quick_one_told", () => {
  const clock = new Clock();
  respond(clock, 1000, 1010);
  // All of these ten seconds passed before the server read its clock.
  clock.learn(11_100 + DIFFERENCE, 0, 1100, 11_100);
  // Ten seconds of drift are 2 ms on either side.
  near(clock.timeAt(11_100), 11_100 + DIFFERENCE, 10);
});

test("a_quick_response_narrows_what_a_slow_one_left_open", () => {
  const clock = new Clock();
  clock.learn(3000 + DIFFERENCE, 0, 1000, 3000);
  assert.ok(Math.abs(clock.timeAt(3000) - 3000 - DIFFERENCE) > 500);
  respond(clock, 3000, 3010);
  near(clock.timeAt(3010), 3010 + DIFFERENCE, 5);
});

test("whole_seconds_of_several_responses_narrow_each_other", () => {
  const clock = new Clock();
  for (let sent = 0; sent < 10_000; sent += 130) {
    const server = sent + 5 + DIFFERENCE;
    clock.learn(Math.floor(server / 1000) * 1000, 1000, sent, sent + 10);
  }
  near(clock.timeAt(10_000), 10_000 + DIFFERENCE, 60);
});

test("a_device_that_slept_believes_the_first_response_after_it", () => {
  const clock = new Clock();
  respond(clock, 1000, 1010);
  // The device's clock stood still for an hour, so the server is an hour later than thought.
  respond(clock, 2000, 2010, DIFFERENCE + 3_600_000);
  near(clock.timeAt(2010), 2010 + DIFFERENCE + 3_600_000, 5);
});

test("a_cached_response_from_the_past_is_not_believed_unless_it_comes_three_times", () => {
  const clock = new Clock();
  respond(clock, 1000, 1010);
  for (const sent of [2000, 3000]) {
    respond(clock, sent, sent + 10, DIFFERENCE - 60_000);
    near(clock.timeAt(sent), sent + DIFFERENCE, 5);
  }
  respond(clock, 4000, 4010, DIFFERENCE - 60_000);
  near(clock.timeAt(4010), 4010 + DIFFERENCE - 60_000, 5);
});

test("a_response_that_agrees_makes_the_clock_forget_contradictions", () => {
  const clock = new Clock();
  respond(clock, 1000, 1010);
  for (const sent of [2000, 4000, 6000, 8000]) {
    respond(clock, sent, sent + 10, DIFFERENCE - 60_000);
    near(clock.timeAt(sent), sent + DIFFERENCE, 5);
    respond(clock, sent + 1000, sent + 1010);
  }
});

test("a_device_that_runs_a_little_fast_is_no_contradiction_hours_later", () => {
  const clock = new Clock();
  respond(clock, 0, 10);
  // In three hours the device got half a second ahead: 0.05 ‰.
  const later = 3 * 3_600_000;
  respond(clock, later, later + 10, DIFFERENCE - 540);
  near(clock.timeAt(later), later + DIFFERENCE - 540, 5);
});
