/* The feed of revocations and a verifier that follows it, in Promela.
 *
 * There are TOKENS tokens. For each, a writer makes the change that supersedes
 * it: a transaction begins, commits, and is acknowledged. A node publishes the
 * changes in a ring with beats, a stream carries them to the verifier, and the
 * verifier decides about the first token. The database, the node and the
 * stream fail at any step.
 *
 * OWNED is one node that publishes its own commits (SQLite). Without it, commits
 * write rows that the node polls (PostgreSQL). BREAK_* are mutants; each must
 * break a claim. README.md explains the output.
 */

#ifndef TOKENS
#define TOKENS 2
#endif
#ifndef FAULTS
#define FAULTS 2 /* in one history */
#endif

/* The claims. */
bool beat_kept = true;     /* no token passes that was superseded before the time of the last beat */
bool answer_kept = true;   /* no token passes by a question that began after its successor left */
bool rejects_superseded = true; /* a token that is rejected is superseded */
#ifndef CLAIMS
#define CLAIMS beat_kept && answer_kept && rejects_superseded
#endif

/* Sets of changes: bit i is the change that supersedes token i. */
#define bit(i) (1 << (i))
byte begun, aborted;   /* aborted ones are undone if they have not committed, and get no answer */
byte committed, acked;
byte writes;           /* transactions that write a row for the nodes */
byte rows;             /* committed rows that are still in the table */
byte faults;

#define open_transactions (begun & ~committed & ~aborted)

/* What the node polls beside the rows. */
bool on;     /* whether a new transaction writes its row */
byte server; /* changes with each start of the database */
byte lapses; /* times that transactions wrote no rows */
bool late;   /* whether a row was removed that the node has not read */

/* The feed of the node. The ring has the changes of one epoch. */
byte epoch;        /* 0 is none */
byte epochs;
byte ring[TOKENS];
byte dropped, end; /* the positions of the oldest event and after the newest */
bool beats;        /* whether there is a beat */
byte beat;         /* the changes acknowledged before its server time */
byte beat_end;     /* the position before which its changes are */
byte read_;        /* the changes in the snapshot of the last poll */

/* The stream: an event in flight, and the position of the server in the ring. */
mtype = { nothing, hello, revoked, beating }
mtype flying = nothing;
byte carried;     /* its change, or the set of its beat */
byte carried_at;  /* the position after it */
byte sent_epoch;  /* of the subscription; 0 before its hello */
byte sent;        /* the position of the next event */
bool beat_sent;

/* The verifier. */
byte got_epoch, got; /* of the last event: Last-Event-ID */
bool applying;       /* whether it applies a hello */
bool table;          /* whether it received the change of the token */
bool confirmed;      /* whether Pawl confirmed the token since the last hello */
bool since_hello;    /* whether the open question began after the last hello */
bool has_beat;          /* whether it received a beat */
bool beat_had;          /* whether the change was acknowledged before the last beat */

#define is_committed (committed & 1)

inline clear_epoch() {
	epoch = 0; dropped = 0; end = 0; beats = false; beat = 0; beat_end = 0
}

inline begin_epoch() {
	clear_epoch(); epochs++; epoch = epochs
}

inline publish(i) {
	if
	:: epoch != 0 -> ring[end] = i; end++
	:: else
	fi
}

inline set_beat(changes) {
	beats = true; beat = changes; beat_end = end; beat_sent = false
}

/* Writer supersedes token i once. */
proctype Writer(byte i) {
	atomic { begun = begun | bit(i);
#ifndef OWNED
		if
		:: on -> writes = writes | bit(i)
		:: else
		fi
#endif
	};
	atomic {
		if
		:: aborted & bit(i) -> goto end_
		:: else -> committed = committed | bit(i); rows = rows | (writes & bit(i))
		fi
	};
#ifdef OWNED
#ifdef BREAK_ANSWER_BEFORE_PUBLISH
	acked = acked | bit(i);
#endif
	d_step {
		if
		:: aborted & bit(i)
		:: else -> publish(i)
		fi
	};
#endif
	d_step {
		if
		:: aborted & bit(i) /* no answer */
		:: else -> acked = acked | bit(i)
		fi
	};
end_:
	skip
}

#ifdef OWNED
/* Node makes beats. Every change is published before it is acknowledged. */
proctype Node() {
	do
	:: d_step { epoch == 0 -> begin_epoch() }
#ifdef BREAK_BEAT_FROM_EARLIER_POSITION
	:: d_step { epoch != 0 -> set_beat(acked); beat_end = dropped }
#else
	:: d_step { epoch != 0 && (!beats || beat != acked) -> set_beat(acked) }
#endif
	od
}
#else
/* Node polls the rows of the transactions that its last snapshot lacks. */
proctype Node() {
	byte instant, news, i, seen_server, seen_lapses;
turn_on:
	atomic {
#ifndef BREAK_TURNED_ON_BESIDE_TRANSACTIONS
		open_transactions == 0 -> /* the lock of the table */
#endif
		on = true; late = false
	};
	atomic { read_ = committed; seen_server = server; seen_lapses = lapses;
		if
		:: !on -> goto failed
		:: else
		fi
	};
	d_step { begin_epoch() };
next:
	atomic { /* the server time is read before the poll */
		epoch == 0 || rows & ~read_ || beat != acked || !beats || server != seen_server || lapses != seen_lapses ||
			late;
		instant = acked
	};
	atomic {
		if
		:: epoch == 0 -> goto failed /* the node was restarted */
#ifndef BREAK_FAILOVER_UNNOTICED
		:: epoch != 0 && server != seen_server -> goto failed
#endif
#ifndef BREAK_LAPSE_UNNOTICED
		:: epoch != 0 && lapses != seen_lapses -> goto failed
#endif
#ifndef BREAK_REMOVAL_UNNOTICED
		:: epoch != 0 && late -> goto failed
#endif
		:: else
		fi;
#ifdef BREAK_BEAT_WITHOUT_POLL
		if
		:: goto apply /* the poll fails */
		:: true
		fi;
#endif
		news = rows & ~read_;
#ifdef BREAK_POLLED_BY_NUMBER
		/* Rows are numbered when their transaction begins: here by i. The poll returns those above the last one. */
		i = 0;
		do
		:: i < TOKENS && (read_ & ~(bit(i) - 1)) -> news = news & ~bit(i); i++
		:: i < TOKENS && !(read_ & ~(bit(i) - 1)) -> i++
		:: i == TOKENS -> break
		od;
		i = 0;
#endif
		read_ = committed
#ifdef BREAK_TIME_READ_AFTER_POLL
	};
	atomic {
		instant = acked
#endif
	};
#ifdef BREAK_BEAT_WITHOUT_POLL
apply:
	skip;
#endif
	d_step {
		i = 0;
		do
		:: i < TOKENS ->
			if
#ifdef BREAK_EVENT_LOST
			:: (news & bit(i)) && i != 0 -> publish(i)
#else
			:: news & bit(i) -> publish(i)
#endif
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0; news = 0;
		if
		:: epoch != 0 -> set_beat(instant)
		:: else
		fi;
		instant = 0
	};
	goto next;
failed:
	atomic { instant = 0; news = 0; clear_epoch(); goto turn_on }
}
#endif

/* Stream sends what follows in the ring, one event at a time. */
proctype Stream() {
	do
	:: d_step { flying == nothing && epoch != 0 && sent_epoch != epoch ->
		sent_epoch = epoch; sent = end; beat_sent = true; flying = hello; carried_at = end }
	:: d_step { flying == nothing && epoch != 0 && sent_epoch == epoch && sent < dropped ->
		/* cut off: the next subscription gets a hello */
#ifdef BREAK_DROPPED_SKIPPED
		sent = dropped
#else
		sent_epoch = 0
#endif
		}
	:: d_step { flying == nothing && epoch != 0 && sent_epoch == epoch && sent >= dropped && sent < end ->
		flying = revoked; carried = ring[sent]; sent++; carried_at = sent }
	:: d_step { flying == nothing && epoch != 0 && sent_epoch == epoch && beats && !beat_sent &&
#ifndef BREAK_BEAT_OVERTAKES
		sent >= beat_end &&
#endif
		sent >= dropped ->
		flying = beating; carried = beat; carried_at = sent; beat_sent = true }
	od
}

/* Subscriber applies the events. A hello stores the new epoch before it removes the entries. */
proctype Subscriber() {
	byte hello_epoch, hello_at;
	do
	:: atomic { flying == revoked -> table = table || carried == 0; got = carried_at; flying = nothing; carried = 0 }
	:: d_step { flying == beating -> has_beat = true; beat_had = carried & 1; flying = nothing; carried = 0 }
	:: atomic { flying == hello -> applying = true; hello_epoch = sent_epoch; hello_at = carried_at; flying = nothing;
#ifdef BREAK_REMOVED_BEFORE_EPOCH
		table = false };
	atomic { confirmed = false; since_hello = false;
#else
#ifndef BREAK_CONFIRMED_KEPT
		confirmed = false; since_hello = false
#endif
		};
	atomic { table = false;
#endif
		got_epoch = hello_epoch; got = hello_at; hello_epoch = 0; hello_at = 0; applying = false }
	od
}

/* Verifier decides about the first token, which was issued before any hello. */
proctype Verifier() {
	bool beaten, superseded_before, entry, may_use;
	bool asks;
next:
#ifdef BREAK_TABLE_BEFORE_AGE
	atomic { entry = table };
	atomic { asks = !has_beat; beaten = beat_had };
#else
	atomic { asks = !has_beat; beaten = beat_had }; /* the age */
#ifdef BREAK_EPOCH_BEFORE_TABLE
	atomic { may_use = confirmed };
#endif
	atomic { entry = table };
#endif
#ifndef BREAK_EPOCH_BEFORE_TABLE
	atomic { may_use = confirmed };
#endif
	atomic {
		if
		:: entry -> rejects_superseded = is_committed; assert(CLAIMS); goto end_
		:: !entry && !asks && may_use -> beat_kept = !beaten; assert(CLAIMS); goto end_
		:: else -> superseded_before = acked & 1; since_hello = true; beaten = false; may_use = false; asks = false
		fi
	};
	atomic { /* the row is read */
		if
		:: is_committed -> table = true; goto end_
		:: else -> answer_kept = !superseded_before; assert(CLAIMS); superseded_before = false
		fi
	};
	atomic { /* the yes is kept */
#ifdef BREAK_EPOCH_OF_THE_ANSWER
		since_hello = true;
#endif
		confirmed = confirmed || since_hello
	};
end_:
	atomic { beaten = false; superseded_before = false; entry = false; may_use = false; asks = false; since_hello = false;
		goto next }
}

/* resume begins a subscription with the id of the last event. */
inline resume() {
	flying = nothing; carried = 0; carried_at = 0;
	if
#ifdef BREAK_EPOCH_NOT_COMPARED
	:: got_epoch != 0 && epoch != 0 && got >= dropped && got <= end -> sent_epoch = epoch; sent = got
#else
	:: got_epoch != 0 && got_epoch == epoch && got >= dropped -> sent_epoch = epoch; sent = got
#endif
	:: else -> sent_epoch = 0; sent = 0
	fi;
	beat_sent = true /* a beat older than the subscription is not sent */
}

proctype Faults() {
	do
	:: d_step { faults < FAULTS && got_epoch != 0 && !applying; faults++; resume() } /* the stream breaks */
	:: d_step { faults < FAULTS && dropped < end; faults++; dropped++ } /* the ring is full */
	:: d_step { faults < FAULTS && epoch != 0; faults++; /* the node is restarted */
#ifdef OWNED
		aborted = aborted | (begun & ~acked);
#endif
		clear_epoch(); flying = nothing; carried = 0; carried_at = 0; sent_epoch = 0; sent = 0 }
#ifndef OWNED
	:: d_step { faults < FAULTS; faults++; /* the database is restarted, and its table of rows is empty */
		aborted = aborted | open_transactions; rows = 0; server++ }
	:: d_step { faults < FAULTS && on; faults++; on = false; lapses++ } /* no node asked for the rows in time */
	:: d_step { !on && open_transactions == 0 && faults > 0; on = true } /* another node asks for them */
	:: d_step { faults < FAULTS && rows; faults++; late = late || (rows & ~read_); rows = 0 } /* old rows are removed */
#endif
	od
}

init {
	byte i;
	atomic {
		do
		:: i < TOKENS -> run Writer(i); i++
		:: else -> break
		od;
		run Node(); run Stream(); run Subscriber(); run Verifier(); run Faults()
	}
}
