-- wrk: each connection waits 1 to 5 ms between an answer and its next request, so that 64 of them ask
-- some 18,000 times a second: far below what the processors give. A tail is then the way's own; of a
-- saturated machine it tells how the scheduler cut the queue into batches.
function delay()
  return math.random(1, 5)
end
