"""Everything that is decided with numbers, as pure functions without I/O.

split        which task is gold, dev or train; near-identical texts together
consensus    several annotations of one task become one, or none
agreement    how well people agree with each other: the ceiling of every score
scores       sufficient statistics per document, and scores with spaCy's names
span_errors  what kind of error a wrong span is
disagreements    tasks on which teacher and student differ
bootstrap    resampled differences between student and teacher on the same documents
bounds       confidence bounds of that difference that hold for few documents, too
spending     how much of the permitted error one look at the gold may use
gate         promote the student, keep the teacher, or wait for more gold
per_label    hand over label by label, and merge both answers
routing      the student where it is sure, the teacher for the rest
forecast     how many more tasks until the student wins, and which labels are flat
permutation  could a difference between two sets of documents be chance?
anchoring    how far a suggestion draws people towards it
utility      suggestions accepted untouched, and the time they save
drift        are the texts still like those the student was chosen on?
rollback     after a handover: has the student fallen behind?
simulate     what the gate does over many looks, by simulation
simulate_after   the same for what follows a handover
"""
