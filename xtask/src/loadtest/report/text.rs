//! The report's fixed prose, as HTML. Figures never stand here: they come from the results.

/// What this is about, for a reader who knows nothing.
pub(super) const PROBLEM: &str = "\
<section>
<h2>The problem</h2>
<p>A post goes viral: three million people a second press <em>like</em>. One server with one counter
cannot take that, so there are three servers in three data centres, and they share one counter. Every
like must count exactly once.</p>
<ul>
<li><strong>Without a lock</strong> two servers read 10, both add one, and both write 11. One like is
lost, and nobody notices.</li>
<li><strong>With a distributed lock</strong> one server at a time holds the lock, reads 10, writes 11
and passes it on. That is right, but each like waits for a message to another data centre and back.
At 50 ms for that round trip, all servers together count at most 1000 / 50 = 20 likes a second.</li>
<li><strong>With Tally</strong> (a replicated counter, a <em>CRDT</em>) every server counts only its own
likes, on its own disk, and tells the others its total. The value is the sum. Nobody waits for anybody,
and a total that arrives twice or late does no harm.</li>
</ul>
</section>";

/// Before the bar chart.
pub(super) const RATES: &str = "\
<p>The scale is logarithmic: look at the numbers below its grid lines. <em>Exact</em> means that
afterwards every counter on every server showed just what had been acknowledged to the
clients.</p>";

/// The head of the table of speeds, up to its body.
pub(super) const SPEED_HEAD: &str = "\
<p>A <em>request</em> is one message from a client that gets one answer; a <em>batch</em> is how many
likes it holds, or, for the lock per batch, for how many likes the lock is held once. <em>In flight</em>
is how many unanswered messages the clients keep up per server. <em>Latency</em> is from sending a message
to its answer: half of the answers took less than p50, 99 of 100 less than p99.</p>
<div class=\"scroll\"><table>
<thead><tr><th>approach</th><th>likes/s</th><th>requests/s</th><th>batch</th><th>in flight</th>
<th>latency p50, ms</th><th>latency p99, ms</th><th class=\"text\">durability of an answer</th></tr></thead>
<tbody>\n";

/// The head of the table of totals, up to its body.
pub(super) const TOTALS_HEAD: &str = "\
<p>After the load, every counter on every server was compared with what had been acknowledged; this is the
worst server. <em>Converged</em> is the time from the last acknowledgement until every server was seen to
show the right total.</p>
<div class=\"scroll\"><table>
<thead><tr><th>approach</th><th>acknowledged</th><th>counted</th><th>lost</th><th>too many</th>
<th>converged, ms</th><th>counters</th><th class=\"text\">verdict</th></tr></thead>
<tbody>\n";

/// Before the sweep over servers.
pub(super) const MORE_SERVERS: &str = "\
<p>Adding servers cannot make a lock faster, because one server at a time holds it; it only makes the
queue longer. Tally's servers do not wait for each other. Here they all share the cores of one machine,
so a flat line means that the machine is fully used already; on machines of their own the servers would
add up.</p>";

/// Before the sweep over round trips.
pub(super) const MORE_DISTANCE: &str = "\
<p>The lock pays the distance with every like. Tally pays it once, in the time until the other data
centres know.</p>";

/// Before the time lines.
pub(super) const TIMELINE: &str = "\
<p>The process is killed with <code>kill -9</code> under load, and started again three seconds later.
Sampled each 100 ms and drawn as the mean over the last 500 ms. So that the lock server comes back with the
same counter, it keeps it on disk here. Clients of the killed Tally node cannot count there until it is back;
those of the other nodes do not notice, and on a machine whose cores all servers share they even get the
processor time that it leaves.</p>";

/// What the figures do not say.
pub(super) const FAIRNESS: &str = "\
<section>
<h2>What to make of it</h2>
<ul>
<li>Locks are not always this slow. The row <em>distributed lock</em> is the best case of a lock whose
counter travels with it, one round trip a like. A lock held for a batch, or a single database that adds by
itself, is much faster, and both are in the table. They pay with latency: no like is answered
sooner than one round trip.</li>
<li>Nor is consensus. A replicated log that batches (etcd, FoundationDB, TigerBeetle) lets thousands of
likes share one round trip. What it cannot do is answer a like without a round trip between sites, or at
all on the minority's side of a broken link. Coordination costs latency and availability always, and
throughput wherever the work is serialised.</li>
<li>Tally's price is that a read shows what this server knows so far. The other servers' newest likes are
missing from it for about one trip between data centres. Where a decision needs the total of this very
moment (the last ticket, a bank balance), use coordination.</li>
<li>Likes a second depend on how likes are sent, so the requests a second and the batch stand beside
them. One call a like costs far more processor time than a streamed like, with any approach.</li>
<li>The baselines keep their shared counter in memory, which favours them; Tally answers after the like is
on the node's own disk.</li>
</ul>
</section>";

/// How the figures came about.
pub(super) const METHOD: &str = "\
<p>Every server is a real process, and so is the load generator; they speak gRPC. The links between data
centres go through a proxy that delays every byte by half of the round trip in each direction and limits
nothing; clients reach the server of their own data centre without delay. Everything runs on one
machine over its loopback interface: servers, proxy and load generator share its cores, so throughput is
what this machine can do, not what three data centres can. Rows are measured one after the other, each with
freshly started servers and an empty disk. The load keeps a fixed number of messages in flight, so latency
includes waiting in the server's queue.</p>";
