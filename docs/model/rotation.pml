/* The rotation of one session's token, in Promela (https://spinroot.com).
 *
 * Refreshers, a bearer check and an administrator run forever against one row.
 * They send any token that ever left a node, with or without the
 * Idempotency-Key, to any node. A client that retries, its second tab and a
 * thief are therefore all among them. Nodes crash, commits fail, answers are
 * lost, tokens expire, and a sweep removes what has expired or ended.
 *
 * OWNED is one node that keeps the row in memory (SQLite). Without it two nodes
 * share a store and read the row each time. BREAK_* are mutants; each must
 * break a claim. `make model` checks all of them; README.md explains the output.
 */

#ifndef GENERATIONS
#define GENERATIONS 4 /* no refresh of the last one */
#endif
#ifndef FAULTS
#define FAULTS 2 /* in one history */
#endif
#ifdef OWNED
#define NODES 1
#define IN_MEMORY
#else
#define NODES 2
#ifdef BREAK_CACHE
#define IN_MEMORY
#endif
#endif

/* The claims. Each is true until a step finds otherwise, and asserts them. */
bool one_successor = true; /* a token has one successor, for every caller and repetition */
bool never_lost = true;    /* a refresh that was answered survives any fault */
bool stays_revoked = true; /* no token passes that was sent after the end was answered */
bool superseded_rejected = true; /* no token passes that was sent after its successor left */
bool retry_answered = true; /* a lost answer is repeated, whatever has expired; a retry is no theft */
#ifndef CLAIMS
#define CLAIMS one_successor && never_lost && stays_revoked && superseded_rejected && retry_answered
#endif

/* The row, and its state in the open transaction; generation 0 is no row.
 * mint distinguishes two tokens of one generation, as iat and the signature do.
 * life is the state of the current token: it passes as a bearer, or can only be
 * refreshed, or its idle time has passed. */
typedef Row { byte gen; byte mint; bool key; byte life }
#define PASSES 0
#define REFRESHABLE 1
#define LAPSED 2
Row row, tx;

/* The user. A suspension or a reset begins a new epoch of the user, and the
 * session is of an earlier one from then on. SQLite changes the user in the
 * same transaction as the session, PostgreSQL in another one, beside it. */
bool may = true;  /* the user's status permits a sign-in */
bool over, tx_over; /* the session's epoch has ended */
#define NO_WRITER 255
byte writer = NO_WRITER; /* the node whose transaction is open */
bool rotated;         /* the transaction has a rotation */
bool committed;       /* it is durable, but memory has not followed yet */
byte memory[NODES];   /* the generation that a node caches; 0 is none */
bool overtaken;       /* memory changed since the check's read began */
byte faults;

/* The tokens that left a node, for the claims. */
byte answered = 1;             /* the newest generation */
byte mint_of[GENERATIONS + 1]; /* of each generation that left; 0 is none yet */
byte gave[GENERATIONS + 1];    /* the successor of each: generation and mint */
bool ended;                    /* the end of the session was answered */
bool ending;                   /* the end of the session has begun */

/* Requests: a step is staged in a transaction, and is done or dead with it. */
#define REQUESTS 3
#define ADMIN 2
mtype = { idle, again, staged, done, dead }
mtype = { moved, replay, theft, refused }
mtype state[REQUESTS] = idle;
byte at[REQUESTS]; /* the node */

inline copy(to, from_) {
	to.gen = from_.gen; to.mint = from_.mint; to.key = from_.key; to.life = from_.life
}

inline remove(row_) {
	row_.gen = 0; row_.mint = 0; row_.key = false; row_.life = PASSES
}

inline any_node(n) {
	if
	:: n = 0
#if NODES > 1
	:: n = 1
#endif
	fi
}

/* any_token picks a token that left a node, up to the generation newest. */
inline any_token(token, newest) {
	token = 1;
	do
	:: token < newest && token < answered -> token++
	:: break
	od
}

/* One transaction is open at a time: SQLite's lock, or the row's in PostgreSQL.
 * Requests at its node join it until it commits. */
#define open_to(n) (writer == NO_WRITER || (writer == n && !committed))

inline begin(n) {
	if
	:: writer == NO_WRITER -> copy(tx, row); tx_over = over; writer = n
	:: else
	fi
}

inline close_() {
	writer = NO_WRITER; committed = false; rotated = false; copy(tx, row); tx_over = false
}

/* The epoch as a step in the open transaction sees it. */
#ifdef OWNED
#define epoch_over tx_over
#else
#define epoch_over over
#endif

#ifdef BREAK_ANSWER_BEFORE_COMMIT
#define STAGED done
#else
#define STAGED staged
#endif

#if defined(BREAK_COMPARE_LEFT_OUT)
#define compared(from) (tx.gen != 0 && tx.gen < GENERATIONS)
#elif defined(BREAK_COMPARE_BEFORE_LOCK)
#define compared(from) (before == from && tx.gen != 0)
#elif defined(BREAK_ROW_BROUGHT_BACK)
#define compared(from) (tx.gen == from || tx.gen == 0)
#else
#define compared(from) (tx.gen == from)
#endif

#ifdef BREAK_EPOCH_UNCHECKED
#define live may
#else
#define live (may && !epoch_over)
#endif
#define current(from) (compared(from) && live && tx.life != LAPSED)

#ifdef BREAK_REPLAY_TO_ANY
#define lost_answer(from) (from < tx.gen)
#else
#define lost_answer(from) (from + 1 == tx.gen && key && tx.key)
#endif

/* rotate is Store.Rotate and the decision of policy.go. Each window (the race,
 * the replay, the life of a superseded token) is both open and closed at each
 * decision. */
inline rotate() {
	if
	:: current(from) ->
#if defined(BREAK_COMPARE_BEFORE_LOCK) || defined(BREAK_ROW_BROUGHT_BACK)
		tx.gen = from;
#endif
		tx.gen++; tx.key = key; tx.life = PASSES; rotated = true;
		tx.mint = 1 + (mint_of[tx.gen] == 1); /* another one, if one left before a rollback */
		outcome = moved
	:: !current(from) && live && from < tx.gen ->
		if
		:: lost_answer(from) -> /* the window of the replay is open */
			if
			:: true -> outcome = (tx.life == LAPSED -> refused : replay)
#ifdef BREAK_EXPIRY_FIRST
			:: true -> outcome = refused
#endif
#ifdef BREAK_THEFT_FIRST
			:: true -> outcome = theft
#endif
			fi;
			retry_answered = outcome == (tx.life == LAPSED -> refused : replay);
			assert(CLAIMS)
		:: true -> outcome = refused
		:: true -> outcome = theft
		fi
	:: else -> outcome = refused;
		/* The newest token is refused only if it is superseded, has lapsed, or its session ends. */
		never_lost = old || ending || (tx.gen != 0 && tx.gen != from) || tx.life == LAPSED;
		assert(CLAIMS)
	fi
}

/* hand_out is the moment when a 200 leaves the node. */
inline hand_out() {
	one_successor = gave[from] == 0 || gave[from] == gen * 4 + mint;
	assert(CLAIMS);
	superseded_rejected = outcome == replay || !old;
	assert(CLAIMS);
	stays_revoked = !late;
	assert(CLAIMS);
	gave[from] = gen * 4 + mint;
	mint_of[gen] = mint;
	if
	:: gen > answered -> answered = gen
	:: else
	fi
}

#define finished(r) (state[r] == done || state[r] == dead)

/* A request is evaluated when its step is staged, not when it is sent. Answers
 * in between only make the claims stricter. */
proctype Refresher(byte r) {
	byte from, gen, mint;
	mtype outcome;
	bool key, old, late, opens;
#ifdef BREAK_COMPARE_BEFORE_LOCK
	byte before;
#endif
next:
#ifdef BREAK_COMPARE_BEFORE_LOCK
	atomic { row.gen != 0; before = row.gen };
#endif
	atomic {
		any_node(at[r]); open_to(at[r]);
		any_token(from, GENERATIONS - 1);
		if :: key = false :: key = true fi;
		old = from < answered; late = ended;
		opens = writer == NO_WRITER;
		begin(at[r]); rotate(); key = false;
		if
		:: outcome == refused && opens -> close_(); goto end_ /* nothing to commit */
		:: outcome == refused && !opens -> goto end_
		:: outcome == theft -> from = 0; old = false; late = false; state[r] = STAGED
		:: else -> gen = tx.gen; mint = tx.mint; state[r] = STAGED
		fi;
		opens = false
	};
	atomic {
		finished(r);
		if
		:: state[r] == done && (outcome == moved || outcome == replay) -> hand_out(); goto end_
		:: state[r] == done && outcome == theft -> outcome = 0; state[r] = again
		:: else -> goto end_
		fi
	};
	atomic { /* theft: the session ends before the 401 leaves */
		state[r] == dead || open_to(at[r]);
		if
		:: state[r] == dead -> goto end_
		:: else -> begin(at[r]); remove(tx); ending = true; state[r] = STAGED
		fi
	};
	atomic { finished(r); ended = ended || state[r] == done };
end_:
	atomic {
		from = 0; gen = 0; mint = 0; outcome = 0; key = false; old = false; late = false; opens = false;
#ifdef BREAK_COMPARE_BEFORE_LOCK
		before = 0;
#endif
		state[r] = idle; at[r] = 0;
		goto next
	}
}

/* Admin ends the session alone, by removing its row, or with a new epoch of its
 * user: a suspension or a reset. Later, the user can be resumed. */
proctype Admin() {
next:
	if
	:: atomic { !ended; any_node(at[ADMIN]); open_to(at[ADMIN]);
		begin(at[ADMIN]); remove(tx); ending = true; state[ADMIN] = STAGED }
#ifdef OWNED
	:: atomic { !ended; open_to(at[ADMIN]); begin(at[ADMIN]); tx_over = true; ending = true; state[ADMIN] = STAGED }
#else
	:: atomic { !ended; over = true; ending = true; state[ADMIN] = done }
#endif
#ifdef BREAK_SUSPEND_KEEPS_EPOCH
	:: atomic { may -> may = false; ending = true; ended = true; goto next }
	:: atomic { !may -> may = true; goto next }
#endif
	fi;
	atomic { finished(ADMIN); ended = ended || state[ADMIN] == done; state[ADMIN] = idle; at[ADMIN] = 0; goto next }
}

/* The epoch and the row as a read sees them together. */
#define live_gen (over -> 0 : row.gen)

inline check_bearer() {
	if
	:: seen == token && may && !(row.gen == token && row.life != PASSES) ->
		superseded_rejected = !old;
		assert(CLAIMS);
		stays_revoked = !late;
		assert(CLAIMS)
	:: seen != token -> /* refused: it must not be the current token */
		never_lost = old || ending || row.gen != token || row.life != PASSES;
		assert(CLAIMS)
	:: else
	fi
}

/* Checker sends tokens as a bearer. On a miss in memory it reads the row, and
 * caches it if memory did not change meanwhile. */
proctype Checker() {
	byte token, seen, n;
	bool old, late;
next:
	atomic {
		any_node(n); any_token(token, GENERATIONS);
		old = token < answered; late = ended; overtaken = false;
#ifdef IN_MEMORY
		seen = memory[n];
		if
		:: seen != 0 -> check_bearer(); goto end_
		:: else -> seen = live_gen
		fi
	};
	atomic {
		if
#ifdef BREAK_SLOW_READ_KEPT
		:: true
#else
		:: !overtaken
#endif
			-> memory[n] = seen
		:: else
		fi;
		check_bearer()
	};
#else
		seen = live_gen; check_bearer()
	};
#endif
end_:
	atomic { token = 0; seen = 0; n = 0; old = false; late = false; overtaken = false; goto next }
}

/* finish moves the requests at a node from one state to another. */
inline finish(from_state, node, to_state) {
	r = 0;
	do
	:: r < REQUESTS ->
		if
		:: at[r] == node && state[r] == from_state -> state[r] = to_state
		:: else
		fi;
		r++
	:: else -> break
	od;
	r = 0
}

/* Committer makes the staged steps durable with one flush; then memory follows,
 * and then the callers are answered. */
proctype Committer() {
	byte r;
	do
	:: d_step { writer != NO_WRITER && !committed -> copy(row, tx);
#ifdef OWNED
		committed = true; over = tx_over;
#ifdef BREAK_CALLER_BEFORE_MEMORY
		finish(staged, writer, done)
#endif
#else
#ifdef BREAK_EPOCH_RENEWED
		over = over && !rotated;
#endif
		finish(staged, writer, done); close_()
#endif
		}
#ifdef OWNED
	:: d_step { committed;
#ifndef BREAK_MEMORY_BEHIND
#ifdef BREAK_EPOCH_BEHIND
		memory[0] = (memory[0] != 0 || rotated -> row.gen : 0);
#else
		memory[0] = (memory[0] != 0 || rotated -> live_gen : 0);
#endif
		overtaken = true;
#endif
		finish(staged, writer, done); close_() }
#endif
	od
}

/* Faults: a node dies with its memory and its open steps; a commit is undone;
 * or a commit succeeds, but its node sees an error. */
proctype Faults() {
	byte r, n;
	do
	:: atomic { faults < FAULTS; any_node(n); d_step {
		faults++;
		finish(again, n, dead); finish(staged, n, dead); finish(done, n, dead);
		memory[n] = 0; overtaken = true;
		if
		:: writer == n -> close_()
		:: else
		fi;
		n = 0;
		never_lost = row.gen == 0 || row.gen > answered || (row.gen == answered && row.mint == mint_of[answered]);
		assert(CLAIMS)
		} }
	:: d_step { faults < FAULTS && writer != NO_WRITER && !committed; faults++; finish(staged, writer, dead); close_() }
#ifndef OWNED
	:: d_step { faults < FAULTS && writer != NO_WRITER; faults++; copy(row, tx); finish(staged, writer, dead); close_() }
#endif
	od
}

/* Time passes between two transactions: the current token expires and then lapses. */
proctype Clock() {
	do
	:: d_step { writer == NO_WRITER && row.gen != 0 && row.life != LAPSED -> row.life++; copy(tx, row) }
	od
}

#ifdef BREAK_SWEEP_BY_EXPIRY
#define removable (over || row.life != PASSES)
#else
#define removable (over || row.life == LAPSED)
#endif

/* Sweeper removes the row of a session that has lapsed or whose epoch has ended. */
proctype Sweeper() {
	do
	:: d_step { writer == NO_WRITER && row.gen != 0 && removable ->
		ending = ending || row.life == LAPSED;
		remove(row); copy(tx, row);
		memory[0] = 0; overtaken = true }
	od
}

init {
	atomic {
		row.gen = 1; copy(tx, row);
		run Refresher(0); run Refresher(1); run Admin(); run Checker();
		run Committer(); run Clock(); run Sweeper(); run Faults()
	}
}
