"""What parses writes back; a patch never touches what it does not name."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pyoxigraph import BlankNode, CanonicalizationAlgorithm, Dataset, Literal, NamedNode, Quad, Triple

from pod_server.authorization.wac import AccessMode, Asker, Need, authorizations, decide
from pod_server.representation import n3_patch, negotiation, stored
from pod_server.representation.graph import Graph
from pod_server.representation.patch import apply

ROOT = "https://pods.example/kari/"
BASE = ROOT + "private/doc"
XSD = "http://www.w3.org/2001/XMLSchema#"

# Surrogates are no characters; pyoxigraph refuses them where a term is made.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
paths = st.text("abcæ.:-_~/?#", max_size=10).filter(lambda path: "//" not in path and path.count("#") < 2)
iris = st.one_of(
    paths.map(lambda path: NamedNode(ROOT + path)),
    st.sampled_from(["urn:a", "http://example.org/p", "https://pods.example/karin/x"]).map(NamedNode),
)
literals = st.one_of(
    text.map(Literal),
    st.builds(Literal, text, language=st.sampled_from(["nb", "en-gb"])),
    st.builds(Literal, text, datatype=st.just(NamedNode("http://example.org/type"))),
    st.integers().map(Literal),
    st.booleans().map(Literal),
    st.just(Literal("007", datatype=NamedNode(XSD + "integer"))),
    st.just(Literal("1.0E0", datatype=NamedNode(XSD + "double"))),
)
blank_nodes = st.sampled_from(["b1", "b2"]).map(BlankNode)
triples = st.builds(Triple, iris | blank_nodes, iris, iris | blank_nodes | literals)
graphs = st.lists(triples, max_size=8).map(Graph.of)
datasets = st.builds(
    Graph.of,
    st.lists(triples, max_size=6),
    named=st.lists(st.builds(Quad, iris | blank_nodes, iris, literals, iris | blank_nodes), max_size=3),
)
ground_triples = st.builds(Triple, iris, iris, iris | literals)


def canonical(graph):
    """The graph, and its named ones, with blank nodes named by their place, so that equal graphs compare equal."""
    dataset = Dataset(graph.quads)
    dataset.canonicalize(CanonicalizationAlgorithm.RDFC_1_0)
    return set(dataset)


@settings(deadline=None)
@given(graphs, st.sampled_from(negotiation.RDF_MEDIA_TYPES))
def test_what_is_written_in_any_form_reads_back_as_the_same_graph(graph, media_type):
    written = negotiation.write(graph, media_type)
    assert canonical(negotiation.read(written, media_type, BASE)) == canonical(graph)


@settings(deadline=None)
@given(datasets, st.sampled_from(["application/ld+json", "application/trig", "application/n-quads"]))
def test_named_graphs_are_kept_where_they_have_a_place(graph, media_type):
    written = negotiation.write(graph, media_type)
    assert canonical(negotiation.read(written, media_type, BASE, named_graphs=True)) == canonical(graph)


@settings(deadline=None)
@given(datasets)
def test_the_stored_form_loses_and_adds_nothing(graph):
    assert canonical(stored.read(stored.write(graph, ROOT), ROOT)) == canonical(graph)


@settings(deadline=None)
@given(datasets)
def test_storing_what_was_stored_gives_the_same_bytes(graph):
    once = stored.write(graph, ROOT)
    assert stored.write(stored.read(once, ROOT), ROOT) == once


def formula(some):
    return "{ " + " ".join(f"{one} ." for one in some) + " }"


@settings(max_examples=60)
@given(st.lists(ground_triples, max_size=6), st.lists(ground_triples, max_size=3), st.data())
def test_a_patch_touches_what_it_names_and_nothing_else(document, insertions, data):
    graph = Graph.of(document)
    deletions = data.draw(st.lists(st.sampled_from(graph.triples), unique=True, max_size=3)) if document else []
    patch = n3_patch.read(
        f"_:p a <http://www.w3.org/ns/solid/terms#InsertDeletePatch> ; <http://www.w3.org/ns/solid/terms#deletes> "
        f"{formula(deletions)} ; <http://www.w3.org/ns/solid/terms#inserts> {formula(insertions)} .".encode(),
        BASE,
    )
    changed = apply(graph, patch)
    assert set(changed.triples) == (set(graph.triples) - set(deletions)) | set(insertions)
    untouched = [one for one in graph.triples if one not in deletions]
    assert [one for one in changed.triples if one in untouched] == untouched


ACL = "http://www.w3.org/ns/auth/acl#"
AGENT = "https://elsewhere.example/ola#me"
acl_terms = st.sampled_from(
    [
        ("http://www.w3.org/1999/02/22-rdf-syntax-ns#type", ACL + "Authorization"),
        (ACL + "agent", AGENT),
        (ACL + "agentClass", "http://xmlns.com/foaf/0.1/Agent"),
        (ACL + "accessTo", BASE),
        (ACL + "default", ROOT),
        (ACL + "mode", ACL + "Read"),
        (ACL + "mode", ACL + "Append"),
        (ACL + "mode", ACL + "Write"),
        (ACL + "mode", ACL + "Control"),
    ]
)
rules = st.lists(
    st.builds(
        lambda name, term: Triple(NamedNode(ROOT + name), NamedNode(term[0]), NamedNode(term[1])),
        st.sampled_from(["#a", "#b"]),
        acl_terms,
    ),
    max_size=14,
).map(Graph.of)


@given(rules, rules)
def test_taking_rules_away_never_widens_access(some, more):
    def modes(graph):
        access = decide(
            [Need("private/doc", AccessMode.READ)],
            asker=Asker(AGENT),
            owner=ROOT + "profile/card#me",
            root_iri=ROOT,
            read_rules=lambda path: authorizations(graph) if path == "private/doc.acl" else None,
        )
        assert access.public <= access.user
        return access.user

    assert modes(some) <= modes(Graph.of([*some.triples, *more.triples]))
