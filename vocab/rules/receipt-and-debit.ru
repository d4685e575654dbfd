# Take the pairs of payment and bill that come first for both of their sides. To be run until nothing changes any more:
# together the runs take the pairs in the order of their keys, each payment and each bill once.
#
# Expects: what rules/told-twice.ru added.
# Adds: <payment> tv:countedBy <bill> ; tv:notCountedBecause <the rule>, in the payment's graph.
PREFIX tv: <https://w3id.org/tvilling#>
PREFIX r: <https://w3id.org/tvilling/counting-rule/>

INSERT { GRAPH ?grant { ?payment tv:countedBy ?bill ; tv:notCountedBecause ?rule } ?bill tv:paidBy ?payment }
WHERE {
  ?pair tv:ofPayment ?payment ; tv:ofBill ?bill ; tv:pairKey ?key .
  GRAPH ?grant { ?payment a tv:Payment }
  GRAPH ?shop { ?bill tv:billWord ?word }
  BIND (IF(?word = "", r:ticket-and-debit, r:receipt-and-debit) AS ?rule)
  FILTER NOT EXISTS { ?taken tv:paidBy ?payment }
  FILTER NOT EXISTS { ?bill tv:paidBy ?someone }
  FILTER NOT EXISTS {
    ?better tv:ofPayment ?payment ; tv:ofBill ?otherBill ; tv:pairKey ?less .
    FILTER (?less < ?key)
    FILTER NOT EXISTS { ?otherBill tv:paidBy ?payer }
  }
  FILTER NOT EXISTS {
    ?better tv:ofBill ?bill ; tv:ofPayment ?otherPayment ; tv:pairKey ?less .
    FILTER (?less < ?key)
    FILTER NOT EXISTS { ?otherTaken tv:paidBy ?otherPayment }
  }
}
