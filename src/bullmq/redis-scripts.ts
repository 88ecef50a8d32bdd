/**
 * What has to happen at once in Redis. All keys of a store have one hash tag, so that they lie on one
 * node of a cluster.
 *
 * A lock's value is its owner as JSON, with a random token: no later lock has the same one, not even
 * when Redis has lost its last writes.
 */

/** Whether a key would never end, or later than any of ours; then it gets the longest time of ours. */
const LIMIT_TIME = `
local function limitTime(key, mostMs)
  local leftMs = redis.call('PTTL', key)
  if leftMs ~= -1 and leftMs <= tonumber(mostMs) then return 0 end
  redis.call('PEXPIRE', key, mostMs)
  return 1
end
`;

/** KEYS key; ARGV most ms. Answers 1 when it had no end, or a later one. */
export const LIMIT = `${LIMIT_TIME}
return limitTime(KEYS[1], ARGV[1])
`;

/**
 * KEYS lock; ARGV ttl, lock, holder, most ms. Answers the lock that there is then, and 1 when it had no
 * end. It is this one also when the command is sent again because its answer was lost.
 */
export const LOCK = `${LIMIT_TIME}
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[2] then
  local _, owner = pcall(cjson.decode, current)
  local isMine = type(owner) == 'table' and ARGV[3] ~= '' and owner.holder == ARGV[3]
  if not isMine then return {current, limitTime(KEYS[1], ARGV[4])} end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
return {ARGV[2], 0}
`;

/** `mine`: the lock's value, or empty for a write without a lock. */
const MAY_WRITE = `
local function mayWrite(lock, mine)
  local current = redis.call('GET', lock)
  if mine == '' then return not current end
  return current == mine
end
`;

/** KEYS lock; ARGV lock, ttl. Answers 1 when the lock was still this one's. */
export const RENEW = `${MAY_WRITE}
if not mayWrite(KEYS[1], ARGV[1]) then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`;

/** KEYS lock; ARGV lock. */
export const RELEASE = `${MAY_WRITE}
if mayWrite(KEYS[1], ARGV[1]) then return redis.call('DEL', KEYS[1]) end
return 0
`;

/**
 * KEYS lock, records, aside, owners, jobs; ARGV lock, key, record, holder, version. What is no record
 * is set aside, and a record of another version stays.
 */
export const SAVE = `${MAY_WRITE}
if not mayWrite(KEYS[1], ARGV[1]) then return 'fenced' end
local former = redis.call('HGET', KEYS[2], ARGV[2])
if former then
  local isJson, record = pcall(cjson.decode, former)
  if not isJson or type(record) ~= 'table' or type(record.version) ~= 'number' then
    redis.call('HSET', KEYS[3], ARGV[2] .. ':' .. redis.sha1hex(former), former)
  elseif record.version ~= tonumber(ARGV[5]) then
    return 'version ' .. record.version
  end
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[4], ARGV[2], ARGV[4])
  redis.call('HSET', KEYS[5], ARGV[4], ARGV[2])
end
return 'saved'
`;

/** KEYS records, aside; ARGV key, record. Only what is still there as it was read. */
export const SET_ASIDE = `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1] .. ':' .. redis.sha1hex(ARGV[2]), ARGV[2])
return redis.call('HDEL', KEYS[1], ARGV[1])
`;

/**
 * KEYS lock, records, owners, jobs, closed; ARGV lock, key, holder, result. With a result the upload
 * is noted as closed in the same step.
 */
export const REMOVE = `${MAY_WRITE}
if not mayWrite(KEYS[1], ARGV[1]) then return 'fenced' end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[5], ARGV[3], ARGV[4]) end
local holder = redis.call('HGET', KEYS[3], ARGV[2])
if holder then redis.call('HDEL', KEYS[4], holder) end
redis.call('HDEL', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
return 'removed'
`;

/**
 * KEYS lock, records, owners, jobs, closed, cancelled; ARGV key, holder. Drops all there is of a job
 * that is over, but not what another job owns by now or is at work on.
 */
export const FORGET = `
redis.call('HDEL', KEYS[5], ARGV[2])
redis.call('HDEL', KEYS[6], ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HDEL', KEYS[4], ARGV[2])
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
`;

/**
 * KEYS job; ARGV reason, and for each damaged field its name, its SHA-1 and what replaces it, or nothing.
 * BullMQ fails a job with the field defa for good, as soon as a worker takes it. Answers 0 when the job is
 * another one by now.
 */
export const DOOM = `
for at = 2, #ARGV, 3 do
  local value = redis.call('HGET', KEYS[1], ARGV[at])
  if not value or redis.sha1hex(value) ~= ARGV[at + 1] then return 0 end
end
for at = 2, #ARGV, 3 do
  if ARGV[at + 2] == '' then redis.call('HDEL', KEYS[1], ARGV[at])
  else redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2]) end
end
redis.call('HSET', KEYS[1], 'defa', ARGV[1])
return 1
`;
