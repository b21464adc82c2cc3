// Package rekeytest has a store in memory for the tests of code that uses package rekey, and a test for code that
// implements its Scanner and Swapper.
//
// [Memory] is a whole store. [TestStore] checks any store against the rules of those interfaces and returns one error that
// names each rule broken. Neither needs a *testing.T.
package rekeytest
