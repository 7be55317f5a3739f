// SPDX-License-Identifier: Apache-2.0
// Tests that setuid and its family reach every kernel thread of the process where threads, and main, asked for kernel
// state of their own, such as a CPU. Needs root.
#include <vector>

#include "credentials.h"

namespace {

using test::BindToOneCpu;
using test::ChangeThereAndBack;
using test::Thread;

class CredentialsBound : public testing::Test {
 protected:
  void Begin() {
    for (int i = 0; i < 4; ++i) {
      threads_.emplace_back([this, i] {
        if (i == 0) BindToOneCpu();
        while (!over_) usleep(1000);
        return nullptr;
      });
    }
    test::LetThemWait();
  }
  void TearDown() override { over_ = true; }

  std::atomic<bool> over_ = false;
  std::vector<Thread> threads_;
};

TEST_F(CredentialsBound, MainAndItChanges) {
  if (geteuid() != 0) return;
  Begin();
  BindToOneCpu();
  EXPECT_TRUE(ChangeThereAndBack());
}

TEST_F(CredentialsBound, MainAndAnotherChanges) {
  if (geteuid() != 0) return;
  Begin();
  BindToOneCpu();
  Thread([] {
    EXPECT_TRUE(ChangeThereAndBack());
    return nullptr;
  });
}

TEST_F(CredentialsBound, MainAndAThirdThatIsBoundChanges) {
  if (geteuid() != 0) return;
  Begin();
  BindToOneCpu();
  Thread([] {
    BindToOneCpu();
    EXPECT_TRUE(ChangeThereAndBack());
    return nullptr;
  });
}

TEST_F(CredentialsBound, AThreadAndMainChanges) {
  if (geteuid() != 0) return;
  Begin();
  EXPECT_TRUE(ChangeThereAndBack());
}

}  // namespace
