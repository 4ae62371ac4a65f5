# Blocks with count and for_each.
lab "collections" {}
network "lan" { prefix = "10.1.0.0/16" }
node "client" {
  count = 3
  interface "lan" { network = network.lan }
}
node "site" {
  for_each = { berlin = 1, paris = 2 }
  interface "lan" { network = network.lan }
}
node "same" {
  count = 2
  interface "lan" {
    network = network.lan
    address = "10.1.0.200" # want: Duplicate address 10.1.0.200: node.same[0].interface.lan has it already; let it depend on count.index
  }
}
node "both" {
  count    = 2
  for_each = ["a"] # want: count and for_each exclude each other
  interface "lan" { network = network.lan }
}
node "many" {
  count = 10001 # want: count is 10001; it lies between 0 and 10000
  interface "lan" { network = network.lan }
}
node "half" {
  count = 1.5 # want: count takes a whole number
  interface "lan" { network = network.lan }
}
node "keys" {
  for_each = ["a", "a"] # want: "a" occurs twice
  interface "lan" { network = network.lan }
}
node "bad-keys" {
  for_each = ["a b"] # want: "a b" cannot name an instance
  interface "lan" { network = network.lan }
}
node "scalar" {
  for_each = 3 # want: for a number of instances use count
  interface "lan" { network = network.lan }
}
node "server" {
  interface "lan" {
    count   = 2 # want: count is not for interface "lan"
    network = network.lan
  }
}
node "client-0" { # want: Duplicate node "client-0": node.client[0] and node.client-0 are both called "client-0" in the plan
  interface "lan" { network = network.lan }
}
flow "collection" {
  from = node.client # want: from needs one node, not a collection: node.client is a collection of 3; choose one by its index, e.g. node.client[0].
  to   = node.site # want: node.site is a collection of 2; choose one by its index, e.g. node.site["berlin"].
}
flow "range" {
  from = node.client[3] # want: node.client has no instance 3: It has 3; the indices go from 0 to 2.
  to   = node.site["berln"] # want: node.site has no instance "berln": Did you mean "berlin"?
}
flow "into" {
  from = node.client.interface.lan # want: node.client is a collection: Choose an instance before going on to "interface", e.g. node.client[0].interface.
  to   = node.server[0] # want: node.server has no index
}
flow "splat" {
  from = node.client[0]
  to   = node.server[*] # want: node.server is not a collection
  size = length(node.site[*].name) # want: node.site has keys
}
expect "all" {
  condition = alltrue([for c in result.node.client : c.connection.x.established]) # want: There is no connection "x": node.client[0] has none of this name. There is none at all.
}
expect "index" {
  condition = result.flow.call[0].received > 0 # want: There is no flow "call"
}
