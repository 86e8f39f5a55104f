"""The Merkle tree against published vectors, and against the definitions of RFC 9162 written out naively."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepup_middleware.log.merkle import (
    EMPTY_ROOT,
    LARGEST_SIZE,
    LONGEST_PROOF,
    Frontier,
    Range,
    consistency_ranges,
    hash_leaf,
    hash_range,
    includes,
    inclusion_ranges,
    is_consistent,
    root_of,
)
from tests.log.support import leaves, naive_path, naive_proof, naive_root
from tests.vectors import (
    ConsistencyVector,
    InclusionVector,
    load_merkle_vectors,
    requires_merkle_vectors,
)

INCLUSION, CONSISTENCY = load_merkle_vectors()

# The entries and roots with which implementations of RFC 6962 test themselves, sizes 0 to 8.
REFERENCE_ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
SIZES = st.integers(1, 300)
HASHES = st.binary(min_size=32, max_size=32)


@requires_merkle_vectors
@pytest.mark.parametrize("vector", INCLUSION, ids=lambda vector: vector.name)
def test_a_published_proof_of_inclusion_is_decided_right(vector: InclusionVector) -> None:
    held = includes(
        root=vector.root, size=vector.size, index=vector.index, leaf_hash=vector.leaf_hash, proof=vector.proof
    )
    assert held is not vector.refused


@requires_merkle_vectors
@pytest.mark.parametrize("vector", CONSISTENCY, ids=lambda vector: vector.name)
def test_a_published_proof_of_consistency_is_decided_right(vector: ConsistencyVector) -> None:
    held = is_consistent(
        old=vector.old, old_root=vector.old_root, size=vector.size, root=vector.root, proof=vector.proof
    )
    assert held is not vector.refused


@requires_merkle_vectors
def test_the_published_proofs_are_all_there() -> None:
    assert (len(INCLUSION), len(CONSISTENCY)) == (98, 98)
    assert sum(not vector.refused for vector in INCLUSION) == 6
    assert sum(not vector.refused for vector in CONSISTENCY) == 6


@pytest.mark.parametrize("size", range(9))
def test_the_reference_roots_come_out_in_every_way_of_computing_them(size: int) -> None:
    hashes = [hash_leaf(entry) for entry in REFERENCE_ENTRIES[:size]]
    frontier = Frontier()
    frontier.extend(hashes)
    assert {root_of(hashes).hex(), frontier.root().hex(), naive_root(hashes).hex()} == {REFERENCE_ROOTS[size]}


@given(st.integers(0, 600))
@settings(max_examples=60, deadline=None)
def test_roots_are_those_of_the_definition(size: int) -> None:
    hashes = leaves(size)
    frontier = Frontier()
    frontier.extend(hashes)
    assert root_of(hashes) == frontier.root() == naive_root(hashes)
    assert Frontier(size, frontier.hashes).root() == frontier.root()


@given(SIZES, st.data())
@settings(max_examples=150, deadline=None)
def test_a_proof_of_inclusion_is_that_of_the_definition_and_holds_for_its_leaf_alone(
    size: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    root = naive_root(hashes)
    proof = [naive_root(hashes[range_.start : range_.end]) for range_ in inclusion_ranges(index, size)]
    assert proof == naive_path(index, hashes)
    for other in range(size):
        held = includes(root=root, size=size, index=other, leaf_hash=hashes[index], proof=proof)
        assert held is (other == index)
        assert not includes(root=root, size=size, index=index, leaf_hash=hashes[other], proof=proof) or other == index
    assert not includes(root=root, size=size, index=index, leaf_hash=hashes[index], proof=[*proof, hashes[0]])
    assert not proof or not includes(root=root, size=size, index=index, leaf_hash=hashes[index], proof=proof[:-1])


@given(SIZES, st.data())
@settings(max_examples=150, deadline=None)
def test_a_proof_of_consistency_is_that_of_the_definition_and_holds_for_its_trees_alone(
    size: int, data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, size))
    hashes = leaves(size)
    root, old_root = naive_root(hashes), naive_root(hashes[:old])
    proof = [naive_root(hashes[range_.start : range_.end]) for range_ in consistency_ranges(old, size)]
    assert proof == naive_proof(old, hashes)
    assert is_consistent(old=old, old_root=old_root, size=size, root=root, proof=proof)
    changed = list(hashes)
    at = data.draw(st.integers(0, old - 1))
    changed[at] = data.draw(HASHES.filter(lambda each: each != hashes[at]))
    fork = naive_root(changed)
    assert not is_consistent(old=old, old_root=naive_root(changed[:old]), size=size, root=root, proof=proof)
    assert not is_consistent(old=old, old_root=old_root, size=size, root=fork, proof=proof)
    assert not is_consistent(old=old, old_root=old_root, size=size, root=fork, proof=naive_proof(old, changed))


@given(SIZES, st.data())
@settings(max_examples=150, deadline=None)
def test_no_other_proof_than_the_one_of_the_definition_holds(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    hashes = leaves(size)
    true = naive_proof(old, hashes)
    proof = data.draw(st.lists(st.sampled_from([*true, *hashes[:3]]) | HASHES, max_size=len(true) + 1))
    held = is_consistent(old=old, old_root=naive_root(hashes[:old]), size=size, root=naive_root(hashes), proof=proof)
    assert held is (proof == true)


@given(st.integers(-2, 5), st.integers(-2, 5), st.lists(st.binary(max_size=40), max_size=3), st.binary(max_size=40))
def test_verification_never_raises(one: int, other: int, proof: list[bytes], root: bytes) -> None:
    assert not includes(root=root, size=one, index=other, leaf_hash=b"short", proof=proof)
    assert not is_consistent(old=one, old_root=b"short", size=other, root=root, proof=proof)


def test_the_largest_tree_has_proofs_of_at_most_63_hashes() -> None:
    for old in (1, 3, LARGEST_SIZE // 3, LARGEST_SIZE - 1):
        assert len(inclusion_ranges(old, LARGEST_SIZE)) < LONGEST_PROOF
        assert len(consistency_ranges(old, LARGEST_SIZE)) <= LONGEST_PROOF
    assert len(consistency_ranges(3, LARGEST_SIZE)) == LONGEST_PROOF


def test_what_no_tree_has_is_refused() -> None:
    for index, size in ((0, 0), (1, 1), (-1, 4), (0, LARGEST_SIZE + 1)):
        with pytest.raises(ValueError, match="has no leaf"):
            inclusion_ranges(index, size)
    for old, size in ((0, 4), (5, 4), (1, LARGEST_SIZE + 1)):
        with pytest.raises(ValueError, match="no tree of"):
            consistency_ranges(old, size)
    with pytest.raises(ValueError, match="perfect subtrees"):
        Frontier(3, [EMPTY_ROOT])
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier().append(b"short")


def test_the_hash_of_a_range_needs_its_perfect_subtrees_alone() -> None:
    hashes = leaves(23)
    asked = []

    def hash_of(subtree: tuple[int, int]) -> bytes:
        asked.append(subtree)
        level, index = subtree
        return naive_root(hashes[index << level : (index + 1) << level])

    assert hash_range(Range(16, 23), hash_of) == naive_root(hashes[16:23])
    assert asked == [(2, 4), (1, 10), (0, 22)]
