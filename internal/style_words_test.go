package internal_test

import (
	"regexp"
)

// term is a banned expression and its plain replacement.
type term struct {
	pattern *regexp.Regexp
	instead string
}

// phrase returns a term for whole words, without regard to case.
func phrase(expression, instead string) term {
	return term{pattern: regexp.MustCompile(`(?i)\b(?:` + expression + `)\b`), instead: instead}
}

// identifier returns a term for the whole name of a declaration.
func identifier(expression, instead string) term {
	return term{pattern: regexp.MustCompile(`^(?:` + expression + `)$`), instead: instead}
}

// bannedPhrases has words of Pawl's former dialect. They are banned in comments, messages and documents.
var bannedPhrases = []term{
	phrase(`hears?|heard|hearing`, "receives, reads, is notified"),
	phrase(`tells|told|telling|may tell|to tell`, "reports, returns, distinguishes"),
	phrase(`says|said`, "reports, states, returns, requires"),
	phrase(`knows|knew`, "has, stores, caches, recognizes"),
	phrase(`wants`, "requires, needs, expects"),
	phrase(`nobody|somebody|everybody|everyone`, "no client, another node, all callers (name them)"),
	phrase(`whoever|whomever|whom`, "the caller that (name the noun)"),
	phrase(`who is (there|who)|what (is|was) (there|left)`, "the existing users, the rest (name the noun)"),
	phrase(`(is|are|was|were|be|been) away|(goes|went) away`, "is unreachable, disconnects"),
	phrase(`(is|are|was|were|be|been) over`, "has expired, has ended, is complete"),
	phrase(`(is|are|was|were|has|have|had) gone`, "has ended, is unreachable, no longer exists"),
	phrase(`(is|are|was|were) not there|(that|which) (is|was|are|were) there`, "is missing, exists"),
	phrase(`(is|are|was|were) dead`, "is superseded, has ended, is unreachable"),
	phrase(`(an|the) old ones?|old tokens?`, "a superseded token"),
	phrase(`(is|are|was|were) (no )?good`, "is valid, is invalid"),
	phrase(`anew|once more`, "again"),
	phrase(`for good`, "permanently"),
	phrase(`is there no|there and then|at all times there`, "there is no, immediately, always"),
	phrase(`may be none`, "is optional, may be empty"),
	phrase(`as good as`, "almost, treated as"),
	phrase(`a while ago|just now`, "stale, cached, at present"),
	phrase(`but for|save for`, "except"),
	phrase(`so many (times|seconds|of)`, "n times (name the number)"),
	phrase(`goes on|went on|go on`, "continues"),
	phrase(`lets? go of`, "releases"),
	phrase(`(is|are|was|were) let in|turned away|keeps? (all|them) away`, "is admitted, is rejected, excludes"),
	phrase(`keeps? others out|kept others out`, "locks exclusively"),
	phrase(`takes in|took in`, "merges, stores"),
	phrase(`holds? that|held that`, "checks that, asserts that"),
	phrase(`becomes? known|makes? known`, "is reported"),
	phrase(`in force`, "active, effective, current"),
	phrase(`in clear`, "in plaintext"),
	phrase(`in a circle`, "deadlock"),
	phrase(`in vain`, "without success"),
	phrase(`strangers?`, "an unknown address, an unauthenticated client"),
	phrase(`tally|tallies`, "failure counter"),
	phrase(`spoils?|spoil(ed|t)`, "invalidates, corrupts"),
	phrase(`gives the (name|word|form|text|value|key|hash)`, "returns the"),
	phrase(`is no (error|harm)|no harm`, "is not an error, is harmless"),
	phrase(`lest|till`, "so that (with a not), until"),
	phrase(`step logs?`, "rotation log"),
	phrase(`whence|thence|thrice`, "from which, from there, three times"),
}

// bannedNames has names of Pawl's former dialect. They are banned for every declaration.
var bannedNames = []term{
	identifier(`judge|verdict`, "classifyReuse, reuseKind"),
	identifier(`[gG]uess(es)?|SettleGuess|BeginGuess|Tall(y|ies)`, "attempt, failure counters, Resolve"),
	identifier(`lane|turns`, "a keyed semaphore"),
	identifier(`away`, "unreachable, notReady"),
	identifier(`RetryKey|KeylessRetry|KeyMode`, "IdempotencyKeyHash, ReplayWithoutKey, RefreshAPIKeyPolicy"),
	identifier(`spoil|learn|tell|hear`, "invalidate, merge, broadcast, receive"),
	identifier(`nobody`, "noopObserver"),
	identifier(`beOneOfMany|keepOthersOut|warily`, "lockShared, lockExclusive"),
	identifier(`onOther|NeedMasterKey`, "withBulkConn, checkMasterKey"),
	identifier(`(most|least|fewest|Most|Least)[A-Z]\w*`, "max…, min…"),
}
